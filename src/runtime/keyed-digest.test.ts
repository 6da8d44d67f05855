import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { KeyedDigest } from './keyed-digest.ts';

function digestOf(key: Uint8Array, ...parts: readonly Uint8Array[]): string {
  const digest = new KeyedDigest(key);
  for (const part of parts) digest.update(part);
  return digest.digest().toString('hex');
}

test('KeyedDigest is the same however the bytes come, and begins anew after each digest', () => {
  const key = randomBytes(16);
  const bytes = randomBytes(1_000_003);
  const whole = digestOf(key, bytes);
  expect(digestOf(key, bytes.subarray(0, 17), bytes.subarray(17, 400_000), bytes.subarray(400_000))).toBe(
    whole,
  );
  const digest = new KeyedDigest(key);
  digest.update(Buffer.from('something else'));
  digest.digest();
  digest.update(bytes);
  expect(digest.digest().toString('hex')).toBe(whole);
});

test('KeyedDigest differs by key, by content and by length', () => {
  const key = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
  const digests = [
    digestOf(key),
    digestOf(key, Buffer.alloc(16)),
    digestOf(key, Buffer.alloc(17)),
    digestOf(key, Buffer.alloc(32)),
    digestOf(Buffer.alloc(16), Buffer.alloc(32)),
  ];
  expect(new Set(digests).size).toBe(digests.length);
  // GMAC by NIST SP 800-38D, as any other implementation has it: agents and sources of different versions have to agree.
  expect(digestOf(key, Buffer.from('fam'))).toBe('c5ded1490fe11926e5c3587c5ae16966');
});
