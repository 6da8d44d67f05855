// Keys of lmdb that are text, in UTF-8. lmdb-js has a codec for them, which reads strings by code that it makes with `eval`; in a bundle
// that code does not find its variables, and reads for ever.

export const textKey = {
  writeKey: (key: string, target: Buffer, position: number): number =>
    position + target.write(key, position, 'utf8'),
  readKey: (source: Buffer, start: number, end: number): string => source.toString('utf8', start, end),
};
