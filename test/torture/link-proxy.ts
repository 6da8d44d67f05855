// A TCP relay that can be told to misbehave: what a bad network does to a connection, seen from both of its ends.

import { connect, createServer, type Server, type Socket } from 'node:net';

export type LinkMode =
  /** Everything passes. */
  | 'pass'
  /** A few bytes at a time. */
  | 'dribble'
  /** Nothing passes and nobody is told: connections stay open, new ones are accepted and never answered. */
  | 'stall';

/** While dribbling: so many bytes, so often. Reads stop meanwhile, so the sender feels it. */
const dribbleBytes = 7;
const dribbleMs = 1;

export class LinkProxy {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #mode: LinkMode = 'pass';
  #changed: (() => void)[] = [];

  private constructor(host: string, port: number) {
    this.#target = { host, port };
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => this.#relay(near));
  }

  static async start(host: string, port: number): Promise<LinkProxy> {
    const proxy = new LinkProxy(host, port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return address.port;
  }

  set mode(mode: LinkMode) {
    this.#mode = mode;
    for (const wake of this.#changed.splice(0)) wake();
  }

  /** Breaks every connection with a reset. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(near: Socket): void {
    const far = connect({ ...this.#target, allowHalfOpen: true });
    for (const socket of [near, far]) {
      socket.setNoDelay();
      this.#sockets.add(socket);
    }
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      from.once('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('error', () => to.destroy());
      void this.#pump(from, to);
    }
  }

  async #pump(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const data of from) {
        if (!Buffer.isBuffer(data)) continue;
        for (let at = 0; at < data.length; ) {
          while (this.#mode === 'stall' && !to.destroyed)
            await new Promise<void>((resolve) => this.#changed.push(resolve));
          const end = this.#mode === 'dribble' ? at + dribbleBytes : data.length;
          await write(to, data.subarray(at, end));
          at = end;
          if (this.#mode === 'dribble') await new Promise((resolve) => setTimeout(resolve, dribbleMs));
        }
      }
      to.end();
    } catch {
      // The connection broke, which both ends have learned.
    }
  }
}

function write(socket: Socket, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(data, (error) => (error ? reject(error) : resolve()));
  });
}
