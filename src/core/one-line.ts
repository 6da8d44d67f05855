// Messages of other programs have many lines; a log line, and a replica's line of `fam status`, is one.

/** The message on one line, without the label that the line begins with already. */
export function oneLine(message: string, label: string): string {
  const line = message
    .trim()
    .replace(/:\s*\n\s*/g, ': ')
    .replace(/\s*\n\s*/g, ' | ');
  return line.startsWith(`${label}: `) ? line.slice(label.length + 2) : line;
}
