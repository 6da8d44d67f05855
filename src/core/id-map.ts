// `--owner-map` and `--group-map`, in the words of rsync's --usermap and --groupmap (rsync(1)): comma-separated FROM:TO, the first
// match counts. FROM is a name or number at the source, a range of numbers, or `*`; TO a name or number at the replica.

export interface IdMapRule {
  /** Ids from..to at the source; a name is resolved before it becomes a rule. */
  readonly from: number;
  readonly to: number;
  /** Name or number, resolved by the replica's host. */
  readonly target: string;
}

/** Beyond every id: uid_t is 32 bits. */
export const largestId = 0xffff_ffff;

/**
 * The rules of a map, or a sentence that says what is wrong with it.
 * @param idOf the id of a name at the source, undefined when there is none
 */
export function parseIdMap(text: string, idOf: (name: string) => number | undefined): IdMapRule[] | string {
  const rules: IdMapRule[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([^:]+):([^:]+)\s*$/.exec(part);
    const [from, target] = [match?.[1], match?.[2]];
    if (from === undefined || target === undefined) return `${part} is not FROM:TO`;
    const range = /^(\d+)(?:-(\d+))?$/.exec(from);
    if (from === '*') rules.push({ from: 0, to: largestId, target });
    else if (range !== null) rules.push({ from: Number(range[1]), to: Number(range[2] ?? range[1]), target });
    else {
      const id = idOf(from);
      if (id === undefined) return `${from} is nobody here`;
      rules.push({ from: id, to: id, target });
    }
  }
  return rules;
}

/** A rule whose target has become a number. */
export interface ResolvedIdRule {
  readonly from: number;
  readonly to: number;
  readonly id: number;
}

export function mapId(rules: readonly ResolvedIdRule[], id: number): number {
  for (const rule of rules) if (id >= rule.from && id <= rule.to) return rule.id;
  return id;
}
