// Run it after `npm install --save-exact SOMETHING`: adds to package-lock.json what npm left out.
//
// A registry mirror may lack the builds of some packages for platforms that nobody uses there. npm then drops these
// optional packages from the lockfile without a word, and `npm ci` refuses the lockfile everywhere ("Missing: ... from
// lock file"). What is added here is their name, version and platform, as their parent names them.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './ensure-built.mjs';

const systems = /android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32/;
const processors = /arm64|arm|ia32|loong64|ppc64|riscv64|s390x|x64/;

/** The platform that a package named `@scope/thing-linux-x64-musl` is for. */
function platformOf(name) {
  const system = systems.exec(name);
  if (!system) throw new Error(`${name}: no platform in its name`);
  const rest = name.slice(system.index + system[0].length);
  const processor = processors.exec(rest);
  const libc = rest.includes('musl')
    ? 'musl'
    : rest.includes('gnu') && system[0] === 'linux'
      ? 'glibc'
      : undefined;
  return { os: [system[0]], ...(processor && { cpu: [processor[0]] }), ...(libc && { libc: [libc] }) };
}

const file = join(root, 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const { packages } = lock;
for (const [path, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (packages[`${path}/node_modules/${name}`] ?? packages[`node_modules/${name}`]) continue;
    packages[`node_modules/${name}`] = {
      version: version.replace(/^[\^~]/, ''),
      ...(entry.dev && { dev: true }),
      optional: true,
      ...platformOf(name),
    };
    console.error(`added ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en')));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
