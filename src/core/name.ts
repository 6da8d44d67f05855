// Names are bytes on Linux. Inside fam a name travels as a "byte string": a JavaScript string in
// which each UTF-16 unit is one byte (0..255, what Buffer calls latin1). It compares, hashes and
// concatenates at string speed, costs one byte a character in V8, and loses nothing.
// Only what people and programs outside see is decoded, at the door: `displayBytes`.

declare const nameBrand: unique symbol;

/** One directory entry's name as a byte string: 1..255 bytes, no `/`, no NUL, not `.` or `..`. */
export type Name = string & { readonly [nameBrand]: 'name' };

/** Byte string of any content: a path, a symlink's target. */
export type ByteString = string;

/** NAME_MAX of every Linux file system (limits.h). */
export const maxNameBytes = 255;

/** Narrows a byte string to a name, or undefined when it could not be one. */
export function asName(bytes: ByteString): Name | undefined {
  if (bytes.length === 0 || bytes.length > maxNameBytes) return undefined;
  if (bytes === '.' || bytes === '..') return undefined;
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes.charCodeAt(i);
    if (c === 0 || c === 0x2f || c > 0xff) return undefined;
  }
  return bytes as Name;
}

/** A text (UTF-16) as the byte string of its UTF-8 form. */
export function bytesOfText(text: string): ByteString {
  let ascii = true;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) {
      ascii = false;
      break;
    }
  }
  if (ascii) return text;
  let out = '';
  for (const byte of new TextEncoder().encode(text)) out += String.fromCharCode(byte);
  return out;
}

/** The text of a byte string that is valid UTF-8, or undefined when it is not. */
export function textOfBytes(bytes: ByteString): string | undefined {
  let ascii = true;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) {
      ascii = false;
      break;
    }
  }
  if (ascii) return bytes;
  const raw = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) raw[i] = bytes.charCodeAt(i);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch {
    return undefined;
  }
}

/**
 * A byte string for people: UTF-8 decoded, with control characters, and the bytes of what is not
 * UTF-8, written `\n`, `\x1b`, `\xff`. One line whatever the name holds.
 */
export function displayBytes(bytes: ByteString): string {
  const text = textOfBytes(bytes);
  const source = text ?? bytes;
  let out = '';
  for (const char of source) {
    const c = char.codePointAt(0) ?? 0;
    if (c === 0x0a) out += '\\n';
    else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (text === undefined && c > 0x7f)) {
      out += `\\x${c.toString(16).padStart(2, '0')}`;
    } else if (c === 0x5c) out += '\\\\';
    else out += char;
  }
  return out;
}
