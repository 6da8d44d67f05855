/** Descriptors to poll for reading. A list that is the same object holds the same open descriptors: whoever opens others makes a new one. */
export type FdList = readonly number[];

export const noFds: FdList = [];
