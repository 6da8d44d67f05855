// A look over MessagePack bytes before a decoder trusts their lengths: msgpackr allocates arrays of the
// announced length and knows extensions that build objects of many classes. None of that for strangers.
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md

/** Deeper than any control message. */
const maxDepth = 8;

/** True when the bytes from `start` are exactly one value of maps, arrays, texts, numbers, booleans and nil. */
export function isPlainMessagePack(bytes: Uint8Array, start: number): boolean {
  return skipValue(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), start, 0) === bytes.length;
}

/** Offset after the value at `at`, or past the end when it is cut short or not plain. */
function skipValue(view: DataView, at: number, depth: number): number {
  if (at >= view.byteLength || depth > maxDepth) return Number.POSITIVE_INFINITY;
  const head = view.getUint8(at);
  if (head < 0x80 || head >= 0xe0) return at + 1;
  if (head < 0x90) return skipValues(view, at + 1, 2 * (head & 0x0f), depth);
  if (head < 0xa0) return skipValues(view, at + 1, head & 0x0f, depth);
  if (head < 0xc0) return at + 1 + (head & 0x1f);
  switch (head) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1;
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return at + 2;
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return at + 3;
    case 0xca: // float 32
    case 0xce: // uint 32
    case 0xd2: // int 32
      return at + 5;
    case 0xcb: // float 64
    case 0xcf: // uint 64
    case 0xd3: // int 64
      return at + 9;
    case 0xd9: // str 8
      return at + 2 + unsigned(view, at + 1, 1);
    case 0xda: // str 16
      return at + 3 + unsigned(view, at + 1, 2);
    case 0xdb: // str 32
      return at + 5 + unsigned(view, at + 1, 4);
    case 0xdc: // array 16
      return skipValues(view, at + 3, unsigned(view, at + 1, 2), depth);
    case 0xdd: // array 32
      return skipValues(view, at + 5, unsigned(view, at + 1, 4), depth);
    case 0xde: // map 16
      return skipValues(view, at + 3, 2 * unsigned(view, at + 1, 2), depth);
    case 0xdf: // map 32
      return skipValues(view, at + 5, 2 * unsigned(view, at + 1, 4), depth);
    default: // bin, ext, never used
      return Number.POSITIVE_INFINITY;
  }
}

function skipValues(view: DataView, start: number, count: number, depth: number): number {
  let at = start;
  for (let i = 0; i < count && at <= view.byteLength; i++) at = skipValue(view, at, depth + 1);
  return at;
}

function unsigned(view: DataView, at: number, width: 1 | 2 | 4): number {
  if (at + width > view.byteLength) return Number.POSITIVE_INFINITY;
  if (width === 1) return view.getUint8(at);
  return width === 2 ? view.getUint16(at) : view.getUint32(at);
}
