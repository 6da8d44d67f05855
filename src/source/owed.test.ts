import { describe, expect, it } from 'vitest';
import { OwedContents } from './owed.ts';
import type { Transfer } from './transfer.ts';

const transfer = { close: () => {} } as unknown as Transfer;

describe('OwedContents', () => {
  it('counts nothing after what is owed as arrived, until it was handed over and consumed', () => {
    const owed = new OwedContents();
    const first = owed.add(1, 10, 10, false);
    owed.add(2, 12, 12, false);
    expect(owed.contiguous(20)).toBe(9);
    owed.handOver(first, 1000);
    expect(owed.contiguous(20)).toBe(9);
    expect(owed.unconfirmed).toBe(2);
    owed.consumed(999);
    expect(owed.contiguous(20)).toBe(9);
    owed.consumed(1000);
    expect(owed.contiguous(20)).toBe(11);
    owed.drop(2);
    expect(owed.contiguous(20)).toBe(20);
    expect(owed.unconfirmed).toBe(0);
  });

  it('waits for nothing that cannot be read, until its record has changed', () => {
    const owed = new OwedContents();
    const one = owed.add(1, 10, 10, true);
    owed.waitFor(one, 'record');
    owed.waitFor(one, 'record');
    expect(owed.contiguous(20)).toBe(20);
    expect(owed.unconfirmed).toBe(0);
    expect(owed.next(0)).toBeUndefined();
    owed.add(1, 15, 15, true);
    expect(owed.contiguous(20)).toBe(9);
    expect(owed.unconfirmed).toBe(1);
    owed.waitFor(one, 'record');
    owed.drop(1);
    expect(owed.contiguous(20)).toBe(20);
    expect(owed.size).toBe(0);
  });

  it('has nobody wait for an upload, and tries now and then whether it is whole', () => {
    const owed = new OwedContents();
    const one = owed.add(1, 10, 10, true);
    owed.waitFor(one, 'upload');
    expect([owed.contiguous(20), owed.unconfirmed]).toEqual([20, 0]);
    expect(owed.next(0)).toBe(one);
    // Its mode has changed: that is no other content.
    expect(owed.add(1, 15, 10, true).waitsFor).toBe('upload');
    owed.waitFor(one, 'turn');
    expect([owed.contiguous(20), owed.unconfirmed]).toEqual([9, 1]);
  });

  it('has nobody wake up for what no transfer is free for', () => {
    const owed = new OwedContents();
    for (let id = 1; id <= 17; id++) owed.add(id, id, id, false);
    expect(owed.wakeAt()).toBe(0);
    for (let i = 0; i < 16; i++) {
      const one = owed.next(0);
      if (one !== undefined) owed.open(one, transfer);
    }
    expect(owed.wakeAt()).toBeUndefined();
    owed.drop(3);
    expect(owed.wakeAt()).toBe(0);
  });
});
