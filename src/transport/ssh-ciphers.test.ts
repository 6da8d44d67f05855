import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { hasAesInstructions, preferredCiphers } from './ssh-ciphers.ts';

const ofSsh =
  'port 22\nciphers chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com\nuser x\n';

describe('preferredCiphers', () => {
  it('puts AES-GCM first and leaves nothing out', () => {
    expect(preferredCiphers(ofSsh, ofSsh, true)).toBe(
      'Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr',
    );
  });

  it('leaves alone what somebody has chosen', () => {
    expect(preferredCiphers('ciphers aes256-ctr,aes128-gcm@openssh.com\n', ofSsh, true)).toBeUndefined();
  });

  it.each([
    ['the processor has no instructions for AES', ofSsh, false],
    ['ssh could not say', '', true],
    ['ssh knows no AES-GCM', 'ciphers chacha20-poly1305@openssh.com,aes128-ctr\n', true],
  ])('chooses nothing when %s', (_when, config, hasAes) => {
    expect(preferredCiphers(config, config, hasAes)).toBeUndefined();
  });

  it('makes an option that the ssh here obeys', () => {
    const config = (...options: string[]): string =>
      execFileSync('ssh', ['-F', 'none', ...options, '-G', 'web1'], { encoding: 'utf8', stdio: 'pipe' });
    const option = preferredCiphers(config(), config(), true);
    expect(config('-o', option ?? '')).toMatch(/^ciphers aes128-gcm@openssh\.com,.*chacha20-poly1305/m);
  });
});

describe('hasAesInstructions', () => {
  it('says what lscpu says', () => {
    expect(hasAesInstructions()).toBe(/ aes( |$)/m.test(execFileSync('lscpu', { encoding: 'utf8' })));
  });
});
