// `--chmod` as rsync's users know it (rsync(1)): comma-separated rules, octal or symbolic, D for folders and F for files only.

/** One rule, ready to be applied. */
export interface ModeRule {
  readonly applies: 'all' | 'directories' | 'others';
  /** An octal mode replaces everything. */
  readonly octal: number | undefined;
  /** Symbolic: whose bits (mask over 0o7777), what is done, and the bits as `rwxXst` say. */
  readonly who: number;
  readonly operator: '+' | '-' | '=';
  readonly permissions: string;
}

const whoMasks: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const permissionMasks: Readonly<Record<string, number>> = {
  r: 0o444,
  w: 0o222,
  x: 0o111,
  s: 0o6000,
  t: 0o1000,
};

/** The rules of a `--chmod` text, or undefined when it is none. */
export function parseModeRules(text: string): ModeRule[] | undefined {
  const rules: ModeRule[] = [];
  for (const part of text.split(',')) {
    const match = /^([DF]?)(?:([0-7]{1,4})|([ugoa]*)([-+=])([rwxXst]*))$/.exec(part.trim());
    if (match === null) return undefined;
    const [, prefix, octal, who = '', operator, permissions = ''] = match;
    let mask = 0;
    for (const letter of who === '' ? 'a' : who) mask |= whoMasks[letter] ?? 0;
    rules.push({
      applies: prefix === 'D' ? 'directories' : prefix === 'F' ? 'others' : 'all',
      octal: octal === undefined ? undefined : Number.parseInt(octal, 8),
      who: mask,
      operator: operator === '+' || operator === '-' ? operator : '=',
      permissions,
    });
  }
  return rules;
}

/** The mode (0..0o7777) that the rules make of one. */
export function applyModeRules(rules: readonly ModeRule[], mode: number, isDirectory: boolean): number {
  let result = mode;
  for (const rule of rules) {
    if (rule.applies === 'directories' && !isDirectory) continue;
    if (rule.applies === 'others' && isDirectory) continue;
    result = rule.octal ?? applySymbolic(rule, result, isDirectory);
  }
  return result;
}

function applySymbolic(rule: ModeRule, mode: number, isDirectory: boolean): number {
  let bits = 0;
  for (const letter of rule.permissions) {
    // X: execute for folders, and for files that somebody may execute already (chmod(1)).
    if (letter === 'X') bits |= isDirectory || (mode & 0o111) !== 0 ? 0o111 : 0;
    else bits |= permissionMasks[letter] ?? 0;
  }
  bits &= rule.who;
  if (rule.operator === '+') return mode | bits;
  if (rule.operator === '-') return mode & ~bits;
  // `=` leaves a folder's set-id bits alone unless it names them, as chmod(1) does.
  const kept = isDirectory && !rule.permissions.includes('s') ? mode & 0o6000 : 0;
  return (mode & ~rule.who) | bits | kept;
}
