import { expect, test } from 'vitest';
import { InFlight } from './in-flight.ts';

const mebibyte = 1024 * 1024;

/** A session that has had this many round trips of this length, one after the other. */
function after(roundTrips: number, ms: number): InFlight {
  const inFlight = new InFlight();
  for (let i = 1; i <= roundTrips; i++) {
    inFlight.sent(100, i * 1000);
    inFlight.consumed(i * 100, i * 1000 + ms);
  }
  return inFlight;
}

test('InFlight holds little back on a short link', () => {
  const inFlight = after(20, 1);
  inFlight.sent(mebibyte, 0);
  expect(inFlight.isFull).toBe(false);
  inFlight.sent(1, 0);
  expect(inFlight.isFull).toBe(true);
  inFlight.consumed(inFlight.sentBytes, 1);
  expect(inFlight.isFull).toBe(false);
});

test('InFlight fills a long link, by its shortest round trip, up to a limit', () => {
  const inFlight = after(20, 50);
  inFlight.sent(4 * mebibyte, 50_000);
  expect(inFlight.isFull).toBe(false);
  // This one had to wait: the link is no longer for that.
  inFlight.consumed(inFlight.sentBytes, 55_000);
  inFlight.sent(6 * mebibyte, 55_000);
  expect(inFlight.isFull).toBe(true);
  const slow = after(20, 5000);
  slow.sent(9 * mebibyte, 0);
  expect(slow.isFull).toBe(true);
});

test('InFlight does not take the first answers of a busy replica for a long link', () => {
  const inFlight = after(3, 500);
  inFlight.sent(mebibyte + 1, 5000);
  expect(inFlight.isFull).toBe(true);
});

test('InFlight times one message at a time, to the answer that covers it', () => {
  const inFlight = after(8, 1);
  inFlight.sent(100, 9000);
  inFlight.sent(100, 9010);
  inFlight.consumed(850, 9020);
  inFlight.consumed(1000, 9030);
  inFlight.sent(2 * mebibyte, 10_000);
  expect(inFlight.isFull).toBe(true);
});
