// Connects before anybody asks: a source takes a moment to open its state, and ssh and the agent can start meanwhile.

import type { Connection, Transport } from './transport.ts';

export class EagerTransport implements Transport {
  readonly #transport: Transport;
  readonly #stop = new AbortController();
  #first: Promise<Connection> | undefined;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.#first = transport.connect(this.#stop.signal);
    // Whoever takes the connection sees it.
    this.#first.catch(() => {});
  }

  get label(): string {
    return this.#transport.label;
  }

  connect(signal: AbortSignal): Promise<Connection> {
    const first = this.#first;
    if (first === undefined) return this.#transport.connect(signal);
    this.#first = undefined;
    if (signal.aborted) this.#stop.abort();
    signal.addEventListener('abort', () => this.#stop.abort());
    return first;
  }

  /** Ends what nobody has asked for. */
  async abandon(): Promise<void> {
    const first = this.#first;
    this.#first = undefined;
    this.#stop.abort();
    const connection = await first?.catch(() => undefined);
    await connection?.abandon();
  }
}
