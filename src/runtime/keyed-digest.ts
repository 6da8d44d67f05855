// Digests of content blocks: GMAC (NIST SP 800-38D), a universal hash under a secret key. Whoever makes content without knowing the
// key finds two blocks of a mebibyte with one digest with a chance of 2^-112 a try, whatever he computes; it takes a fifth of the
// time of SHA-256. What follows from that for keys: docs/decisions/0007.

import { type CipherGCM, createCipheriv } from 'node:crypto';

// One key makes digests only, never ciphertext, and its digests are shown to nobody who makes content.
const nonce = Buffer.alloc(12);

export class KeyedDigest {
  readonly #key: Uint8Array;
  #mac: CipherGCM | undefined;

  /** @param key 16 random bytes */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  update(bytes: Uint8Array): void {
    this.#mac ??= createCipheriv('aes-128-gcm', this.#key, nonce);
    this.#mac.setAAD(bytes);
  }

  /** The 16-byte digest of everything since the last one. */
  digest(): Buffer {
    const mac = this.#mac ?? createCipheriv('aes-128-gcm', this.#key, nonce);
    this.#mac = undefined;
    mac.final();
    return mac.getAuthTag();
  }
}
