import { connect } from 'node:net';
import type { Child } from './child.ts';
import { waitFor } from './wait-for.ts';

/** Resolves once a server accepts connections. */
export async function accepts(port: number, child: Child): Promise<void> {
  await waitFor(
    () => {
      if (child.exit) throw new Error(`server ended with ${child.exit.code}: ${child.stdout}${child.stderr}`);
      return new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => resolve(false));
      });
    },
    { describe: () => `a server on port ${port}: ${child.stdout}${child.stderr}` },
  );
}
