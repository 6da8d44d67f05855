// How often what has failed here is looked at, and tried again.

/** Milliseconds between two looks at the places where something has failed. */
export const lookMs = 1000;
/** ... and what part of the time looking takes at most. */
export const lookShare = 0.02;

/** Milliseconds before something that has failed is tried again, at first and at most: it doubles each time that trying was in vain. */
export const retryDelayMs = 1000;
export const retryDelayMsMax = 10 * 60 * 1000;
