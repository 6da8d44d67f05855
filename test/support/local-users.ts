// People with a shell on a replica's host, who change what is not theirs to change. They may do that as long as they like: the next comparison
// puts it right, and what they have made is kept.

import {
  appendFileSync,
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type BytePath, joinBytes, pathBuffer, walk } from '../oracle/walk.ts';
import { digestOf, type Given, type Keepsakes } from './keepsakes.ts';
import { innerHome, type ReplicaPlace } from './replica-place.ts';

/** Of everything that they make: no writer uses it. */
const prefix = 'local-';

/** Folders below one another that are gone through in search of a name. */
const maxDepth = 12;

let count = 0;

export class LocalUsers {
  readonly #place: ReplicaPlace;
  readonly #uid: number;
  readonly #keepsakes: Keepsakes;
  readonly #draw: (below: number) => number;
  readonly #say: (what: string) => void;
  /** Folders that they have moved out of the replica. */
  readonly #outside: string[] = [];
  /** What they have made or changed in it: digests by path. */
  readonly #given = new Map<BytePath, string>();

  /** @param say told what they have done, for the log */
  constructor(
    place: ReplicaPlace,
    uid: number,
    keepsakes: Keepsakes,
    draw: (below: number) => number,
    say: (what: string) => void,
  ) {
    this.#say = say;
    this.#keepsakes = keepsakes;
    this.#place = place;
    this.#uid = uid;
    this.#draw = draw;
  }

  /**
   * One change of a random name, if there is such a name.
   * @param isAlone no agent runs: what they change cannot be lost between its look at a name and its rename (docs/open-work.md)
   */
  act(isAlone: boolean): void {
    try {
      if (this.#draw(2) === 0) this.#withFolder(this.#folder());
      else this.#withFile(this.#file(), isAlone);
    } catch (error) {
      // It went away under their hands.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  /** From now on nobody touches what they have moved out, and nothing of what they have made is lost. */
  settle(trash: string): void {
    for (const folder of this.#outside.splice(0)) this.#keepsakes.keepOutside(folder);
    const given = [...this.#given].map(([path, digest]): Given => ({ path, digest }));
    this.#keepsakes.expectInTrash(trash, given);
    this.#given.clear();
  }

  #withFolder(folder: BytePath): void {
    const name = newName();
    const isRoot = folder === this.#place.root;
    switch (this.#draw(isRoot ? 2 : 8)) {
      case 0:
        this.#write(joinBytes(folder, name));
        this.#say(`made ${folder}/${name}`);
        break;
      case 1:
        this.#folderWithFile(joinBytes(folder, name));
        this.#say(`made folder ${folder}/${name}`);
        break;
      case 2:
        this.#rename(folder, beside(folder, name));
        break;
      case 3:
        this.#drop(folder);
        rmSync(pathBuffer(folder), { recursive: true });
        this.#say(`removed folder ${folder}`);
        break;
      case 4:
        chmodSync(pathBuffer(folder), [0o555, 0o500, 0o777][this.#draw(3)] ?? 0o555);
        this.#say(`changed the mode of folder ${folder}`);
        break;
      case 5:
        this.#rename(folder, joinBytes(this.#folder(), name));
        break;
      case 6:
        this.#moveOut(folder);
        break;
      default:
        // It leads to the folder itself, at its new place: every name that fam looks for is there.
        symlinkSync(pathBuffer(this.#moveOut(folder)), pathBuffer(folder));
        this.#own(folder);
        this.#say(`put a symlink in its place`);
    }
  }

  #withFile(file: BytePath | undefined, isAlone: boolean): void {
    if (file === undefined) return;
    switch (this.#draw(6)) {
      case 0:
        this.#drop(file);
        unlinkSync(pathBuffer(file));
        this.#say(`removed ${file}`);
        break;
      case 1:
        chmodSync(pathBuffer(file), 0o400 | this.#draw(0o400));
        this.#say(`changed the mode of ${file}`);
        break;
      case 2:
        this.#rename(file, beside(file, newName()));
        break;
      case 3:
        linkSync(pathBuffer(file), pathBuffer(beside(file, newName())));
        this.#say(`linked ${file}`);
        break;
      case 4:
        this.#drop(file);
        unlinkSync(pathBuffer(file));
        this.#folderWithFile(file);
        this.#say(`made a folder of ${file}`);
        break;
      default:
        this.#drop(file);
        appendFileSync(pathBuffer(file), `changed by a local user: ${newName()}\n`);
        if (isAlone) this.#given.set(file, digestOf(file));
        this.#say(`appended to ${file}`);
    }
  }

  #write(path: BytePath): void {
    writeFileSync(pathBuffer(path), `made by a local user: ${newName()}\n`, { flag: 'wx' });
    this.#given.set(path, digestOf(path));
    this.#own(path);
  }

  #folderWithFile(path: BytePath): void {
    mkdirSync(pathBuffer(path));
    this.#own(path);
    this.#write(joinBytes(path, newName()));
  }

  /** Returns where it is now. */
  #moveOut(folder: BytePath): string {
    const to = join(this.#place.mount, newName());
    renameSync(pathBuffer(folder), to);
    this.#drop(folder, to);
    this.#outside.push(to);
    this.#say(`moved ${folder} out, to ${to}`);
    // Further names of files that are in the replica: what is done to those there would show here.
    for (const [path, stat] of walk(to, new Set()))
      if (!stat.isDirectory() && stat.nlink > 1n) unlinkSync(pathBuffer(joinBytes(to, path)));
    return to;
  }

  #rename(from: BytePath, to: BytePath): void {
    renameSync(pathBuffer(from), pathBuffer(to));
    this.#say(`renamed ${from} to ${to}`);
    for (const [path, digest] of [...this.#given]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#given.delete(path);
      this.#given.set(to + path.slice(from.length), digest);
    }
  }

  /**
   * They do away with it themselves.
   * @param now where it is by now
   */
  #drop(path: BytePath, now = path): void {
    this.#keepsakes.giveUp(now);
    for (const given of [...this.#given.keys()])
      if (given === path || given.startsWith(`${path}/`)) this.#given.delete(given);
  }

  #own(path: BytePath): void {
    lchownSync(pathBuffer(path), this.#uid, this.#uid);
  }

  #folder(): BytePath {
    let folder = this.#place.root;
    for (let depth = 0; depth < maxDepth; depth++) {
      const inside = this.#names(folder).filter((path) => this.#stat(path)?.isDirectory() === true);
      const next = inside[this.#draw(inside.length)];
      if (next === undefined) break;
      folder = next;
      if (this.#draw(3) === 0) break;
    }
    return folder;
  }

  #file(): BytePath | undefined {
    const inside = this.#names(this.#folder()).filter((path) => this.#stat(path)?.isFile() === true);
    return inside[this.#draw(inside.length)];
  }

  #names(folder: BytePath): BytePath[] {
    return readdirSync(pathBuffer(folder), { encoding: 'buffer' })
      .map((name) => name.toString('latin1'))
      .filter((name) => folder !== this.#place.root || name !== innerHome)
      .sort()
      .map((name) => joinBytes(folder, name));
  }

  #stat(path: BytePath): Stats | undefined {
    return lstatSync(pathBuffer(path), { throwIfNoEntry: false });
  }
}

function newName(): string {
  count += 1;
  return `${prefix}${count}`;
}

function beside(path: BytePath, name: string): BytePath {
  return `${path.slice(0, path.lastIndexOf('/'))}/${name}`;
}
