/** `size` bytes that the seed determines, unlike those of any other seed in every block of 4 KiB. */
export function contentOf(seed: number, size: number): Buffer {
  const content = Buffer.alloc(size, `${seed} the quick brown fox jumps over the lazy dog\n`);
  for (let at = 0; at + 8 <= size; at += 4096) {
    content.writeUInt32LE((seed ^ Math.imul(at + 1, 0x9e3779b1)) >>> 0, at);
    content.writeUInt32LE(seed >>> 0, at + 4);
  }
  return content;
}
