// What other programs and other hosts said goes to terminals: their control characters do not.

/** The text with every control character but newline and tab as `\xNN`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (char) => {
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
