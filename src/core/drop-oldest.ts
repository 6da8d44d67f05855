/** Keeps a set or map that is in order of use from growing beyond `max`: to be called after each addition. */
export function dropOldest<K>(used: Pick<Map<K, unknown>, 'size' | 'keys' | 'delete'>, max: number): void {
  if (used.size <= max) return;
  for (const oldest of used.keys()) {
    used.delete(oldest);
    return;
  }
}
