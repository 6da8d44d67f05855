// Builds dist/agent-bundle.cjs: the agent in one file, with the native addons of every Linux variant that is installed
// here, for hosts that have Node.js and nothing of ours. See src/transport/bootstrap.ts for how it gets there.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { build } from 'esbuild';
import { addonLoaders, moduleUrl } from './addon-loaders.mjs';
import { lazyBuiltins } from './lazy-builtins.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const arches = ['x64', 'arm64', 'riscv64', 'loong64', 'ppc64'];

/** Where each addon's builds lie, by architecture and C library. Node-API builds: one serves every Node.js. */
const addonFiles = {
  koffi: (arch, libc) =>
    `@koromix/koffi-linux-${arch}/${libc === 'musl' ? 'musl' : 'linux'}_${arch}/koffi.node`,
  lmdb: (arch, libc) => `@lmdb/lmdb-linux-${arch}/node.napi.${libc}.node`,
};

/**
 * The part of an ELF file that is ever loaded: debug information and symbol tables, which make up most of these addons,
 * come after the last loadable segment (elf(5)). 64-bit little-endian files, which is what there is.
 */
function loadedPart(file) {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) return file;
  const headers = Number(file.readBigUInt64LE(32));
  const headerBytes = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  let end = headers + headerBytes * count;
  for (let i = 0; i < count; i++) {
    const at = headers + i * headerBytes;
    end = Math.max(end, Number(file.readBigUInt64LE(at + 8)) + Number(file.readBigUInt64LE(at + 32)));
  }
  const loaded = Buffer.from(file.subarray(0, end));
  loaded.writeBigUInt64LE(0n, 40); // no section headers
  loaded.writeUInt16LE(0, 60);
  loaded.writeUInt16LE(0, 62);
  return loaded;
}

/** Brotli at its best takes seconds: done once for each content. */
function packed(file) {
  const cache = join(modules, '.cache/fam-agent');
  const path = join(cache, createHash('sha256').update(file).digest('hex'));
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const text = brotliCompressSync(file, {
    params: { [constants.BROTLI_PARAM_LGWIN]: 22, [constants.BROTLI_PARAM_SIZE_HINT]: file.length },
  }).toString('base64');
  mkdirSync(cache, { recursive: true });
  replaceFile(path, text);
  return text;
}

/** Whoever reads it meanwhile sees the old content or the new one. */
function replaceFile(path, content) {
  const temp = `${path}.${process.pid}`;
  writeFileSync(temp, content);
  renameSync(temp, path);
}

/** What lies in the comment at the agent's end, and where: variants of addons by `<arch>-<libc>`. */
class Payload {
  #packs = [];

  /** JavaScript: a function that gives the variants of an addon. To be run when everything has been added. */
  add(name) {
    const variants = {};
    for (const arch of arches) {
      for (const libc of ['glibc', 'musl']) {
        const path = join(modules, addonFiles[name](arch, libc));
        if (!existsSync(path)) continue;
        const file = loadedPart(readFileSync(path));
        const pack = packed(file);
        this.#packs.push(pack);
        variants[`${arch}-${libc}`] = {
          sha256: createHash('sha256').update(file).digest('hex'),
          pack,
        };
      }
    }
    if (Object.keys(variants).length === 0)
      throw new Error(`no build of ${name} is installed: npm ci --ignore-scripts`);
    return () => this.#placed(variants);
  }

  #placed(variants) {
    const placed = Object.entries(variants).map(([platform, { sha256, pack }]) => {
      const following = this.#packs.slice(this.#packs.indexOf(pack)).join('');
      return [platform, { sha256, fromEnd: following.length + 1, length: pack.length }];
    });
    return JSON.stringify(Object.fromEntries(placed));
  }

  /** The last line of the agent. */
  get comment() {
    return `//${this.#packs.join('')}\n`;
  }
}

/** A module that loads what is packed in the payload. */
function packedLoader(name, variants) {
  const loader = JSON.stringify(join(root, 'src/runtime/native-addon.ts'));
  return `import { loadAddon } from ${loader};\nconst variants = ${variants};\nexport default () => loadAddon('${name}', variants);\n`;
}

/** Bundles `entry` with everything it imports into one module at `outfile`; returns its size and sha256. */
export async function bundleAgent(entry, outfile) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const payload = new Payload();
  const koffi = payload.add('koffi');
  const lmdb = payload.add('lmdb');
  const { outputFiles } = await build({
    entryPoints: [entry],
    outfile,
    write: false,
    bundle: true,
    minify: true,
    keepNames: false,
    platform: 'node',
    target: 'node20.19',
    format: 'cjs',
    // V8 reads ASCII faster than anything else.
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
    define: { ...moduleUrl.define, famIsBundle: 'true', famBundleVersion: JSON.stringify(version) },
    banner: moduleUrl.banner,
    plugins: [
      addonLoaders({ koffi: packedLoader('koffi', koffi()), lmdb: packedLoader('lmdb', lmdb()) }),
      lazyBuiltins,
    ],
  });
  const code = Buffer.concat([outputFiles[0].contents, Buffer.from(payload.comment)]);
  mkdirSync(dirname(outfile), { recursive: true });
  replaceFile(outfile, code);
  return { bytes: code.length, sha256: createHash('sha256').update(code).digest('hex') };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { bytes, sha256 } = await bundleAgent(
    join(root, 'src/cli/agent-bundle.ts'),
    join(root, 'dist/agent-bundle.cjs'),
  );
  console.error(`dist/agent-bundle.cjs: ${bytes} bytes, sha256 ${sha256.slice(0, 16)}`);
}
