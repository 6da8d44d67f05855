import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { below, seeded } from '../stats.ts';

export interface ChurnOrder {
  readonly source: string;
  readonly writer: number;
  readonly seconds: number;
}

/** Operations and their weights: what upload, editing and deployment do to a tree, as fast as they can. */
const weights = {
  create: 24,
  modify: 18,
  delete: 16,
  rename: 12,
  replace: 8,
  append: 6,
  makeFolders: 5,
  chmod: 5,
  symlink: 4,
  renameFolder: 2,
  removeFolder: 1.5,
} as const;
type Operation = keyof typeof weights;

const mostFiles = 4000;

/** One writer's private view of what it made; names clash with the other writer's in `shared` on purpose. */
class ChurnWriter {
  readonly #source: string;
  readonly #writer: number;
  readonly #random: () => number;
  readonly #roots: readonly string[];
  readonly #pool: Buffer;
  readonly #files: string[] = [];
  readonly #folders: string[] = [];
  #serial = 0;

  constructor(order: ChurnOrder) {
    this.#source = order.source;
    this.#writer = order.writer;
    this.#random = seeded(1000 + order.writer);
    this.#roots = [`churn${order.writer}`, `churn${order.writer}`, `churn${order.writer}`, 'shared'];
    this.#pool = Buffer.from(Array.from({ length: 65_536 }, () => below(this.#random, 256)));
    for (const root of this.#roots) mkdirSync(this.#path(root), { recursive: true });
  }

  /** One operation; false when the other writer had taken its object away. */
  step(): boolean {
    this.#serial++;
    const operation = this.#files.length > mostFiles ? 'delete' : this.#draw();
    try {
      this.#run(operation);
      return true;
    } catch {
      if (this.#random() < 0.5) this.#files.pop();
      return false;
    }
  }

  #run(operation: Operation): void {
    switch (operation) {
      case 'create': {
        const path = this.#name('f');
        writeFileSync(this.#path(path), this.#bytes(16_384));
        this.#files.push(path);
        return;
      }
      case 'symlink': {
        const path = this.#name('l');
        symlinkSync(['f1', '../x', '/nonexistent/t', '.'][below(this.#random, 4)] ?? '.', this.#path(path));
        this.#files.push(path);
        return;
      }
      case 'makeFolders': {
        const path = [
          this.#folder(),
          ...Array.from({ length: 1 + below(this.#random, 5) }, () => `m${below(this.#random, 9)}`),
        ].join('/');
        if (path.length > 300) return;
        mkdirSync(this.#path(path), { recursive: true });
        this.#folders.push(path);
        if (this.#folders.length > 300) this.#folders.shift();
        return;
      }
      case 'removeFolder': {
        const [path] = this.#folders.splice(below(this.#random, this.#folders.length), 1);
        if (path !== undefined) rmSync(this.#path(path), { recursive: true });
        return;
      }
      case 'renameFolder': {
        const index = below(this.#random, this.#folders.length);
        const from = this.#folders[index];
        if (from === undefined) return;
        const to = `${this.#root()}/r${this.#writer}_${this.#serial}`;
        renameSync(this.#path(from), this.#path(to));
        this.#folders[index] = to;
        return;
      }
      default:
        this.#runOnFile(operation);
    }
  }

  #runOnFile(operation: 'modify' | 'append' | 'replace' | 'rename' | 'delete' | 'chmod'): void {
    const index = below(this.#random, this.#files.length);
    const path = this.#files[index];
    if (path === undefined) return;
    const full = this.#path(path);
    switch (operation) {
      case 'modify': {
        const fd = openSync(full, 'r+');
        try {
          writeSync(fd, this.#bytes(4096));
        } finally {
          closeSync(fd);
        }
        return;
      }
      case 'append':
        appendFileSync(full, this.#bytes(2000));
        return;
      case 'replace':
        writeFileSync(`${full}.t`, this.#bytes(8192));
        renameSync(`${full}.t`, full);
        return;
      case 'rename': {
        const to = this.#name('n');
        renameSync(full, this.#path(to));
        this.#files[index] = to;
        return;
      }
      case 'delete': {
        const last = this.#files.pop();
        if (last !== undefined && index < this.#files.length) this.#files[index] = last;
        unlinkSync(full);
        return;
      }
      case 'chmod':
        chmodSync(full, [0o600, 0o644, 0o755, 0o640][below(this.#random, 4)] ?? 0o644);
        return;
    }
  }

  #draw(): Operation {
    let left = this.#random() * totalWeight;
    for (const [operation, weight] of entries) {
      left -= weight;
      if (left < 0) return operation;
    }
    return 'create';
  }

  #root(): string {
    return this.#roots[below(this.#random, this.#roots.length)] ?? 'shared';
  }

  #folder(): string {
    return this.#folders[below(this.#random, this.#folders.length + 1)] ?? this.#root();
  }

  #name(prefix: string): string {
    return `${this.#folder()}/${prefix}${this.#writer}_${this.#serial}`;
  }

  #bytes(limit: number): Buffer {
    const start = below(this.#random, this.#pool.length - limit);
    return this.#pool.subarray(start, start + below(this.#random, limit));
  }

  #path(path: string): string {
    return `${this.#source}/${path}`;
  }
}

const entries: readonly (readonly [Operation, number])[] = [
  ['create', weights.create],
  ['modify', weights.modify],
  ['delete', weights.delete],
  ['rename', weights.rename],
  ['replace', weights.replace],
  ['append', weights.append],
  ['makeFolders', weights.makeFolders],
  ['chmod', weights.chmod],
  ['symlink', weights.symlink],
  ['renameFolder', weights.renameFolder],
  ['removeFolder', weights.removeFolder],
];
const totalWeight = entries.reduce((sum, [, weight]) => sum + weight, 0);

function isOrder(value: unknown): value is ChurnOrder {
  return (
    typeof value === 'object' &&
    value !== null &&
    'source' in value &&
    'writer' in value &&
    'seconds' in value
  );
}

if (parentPort && isOrder(workerData)) {
  const writer = new ChurnWriter(workerData);
  const end = performance.now() + workerData.seconds * 1000;
  let done = 0;
  while (performance.now() < end) if (writer.step()) done++;
  parentPort.postMessage(done);
}
