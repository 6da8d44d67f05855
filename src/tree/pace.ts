// How finely the recorder's work is cut: between two pieces it looks at the clock, and at what the kernel has said meanwhile.

/** Milliseconds that one transaction may take while more is waiting: what a small change waits behind at most. */
export const stepMs = 10;

/** Hints that are looked at between two glances at the clock. */
export const hintsAtOnce = 64;

/** Names of a directory that are compared between two glances at the clock. */
export const namesAtOnce = 256;
