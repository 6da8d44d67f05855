// Connects before anybody asks: a source takes a moment to open its state, and ssh and the agent can start meanwhile.

import type { Link, Transport } from './link.ts';

export class EagerTransport implements Transport {
  readonly #transport: Transport;
  readonly #stop = new AbortController();
  readonly #early: Uint8Array[] = [];
  #first: Promise<Link> | undefined;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.#first = transport.connect(this.#stop.signal).then((link) => {
      // What the agent says is for who takes the link; what has come with its first byte cannot be stopped any more.
      link.pause();
      link.onFrame = (frame) => this.#early.push(frame);
      return link;
    });
    // Whoever takes the link sees it.
    this.#first.catch(() => {});
  }

  get label(): string {
    return this.#transport.label;
  }

  async connect(signal: AbortSignal): Promise<Link> {
    const first = this.#first;
    if (first === undefined) return this.#transport.connect(signal);
    this.#first = undefined;
    if (signal.aborted) this.#stop.abort();
    signal.addEventListener('abort', () => this.#stop.abort());
    const link = await first;
    setImmediate(() => {
      for (const frame of this.#early.splice(0)) link.onFrame(frame);
      link.resume();
    });
    return link;
  }

  /** Ends what nobody has asked for. */
  async abandon(): Promise<void> {
    const first = this.#first;
    this.#first = undefined;
    this.#stop.abort();
    const link = await first?.catch(() => undefined);
    link?.close(false);
    await link?.ended;
  }
}
