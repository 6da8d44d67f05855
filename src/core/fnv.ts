// FNV-1a, 32 bits: for tables, not for what somebody could want to forge.

/** The hash of nothing. */
export const fnvBasis = 0x811c9dc5;

/** The hash with one unit more. */
export function fnvStep(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x01000193);
}
