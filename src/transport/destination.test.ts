import { describe, expect, it } from 'vitest';
import { FamError } from '../core/errors.ts';
import { parseDestination, showDestination } from './destination.ts';

const local = (path: string) => ({ kind: 'local', path });
const ssh = (userHost: string, path: string) => ({ kind: 'ssh', userHost, path });

describe('parseDestination', () => {
  it.each([
    ['/mnt/copy', local('/mnt/copy')],
    ['copy', local('copy')],
    ['./web1:/var', local('./web1:/var')],
    ['/mnt/a:b', local('/mnt/a:b')],
    ['dir/a:b', local('dir/a:b')],
    ['web1:/var/www', ssh('web1', '/var/www')],
    ['web1:site', ssh('web1', 'site')],
    ['web1:.', ssh('web1', '.')],
    ['web1:~/site', ssh('web1', 'site')],
    ['web1:~', ssh('web1', '.')],
    ['web1:a:b', ssh('web1', 'a:b')],
    ['www@web1.example.org:/srv', ssh('www@web1.example.org', '/srv')],
    ['user@corp@web1:/srv', ssh('user@corp@web1', '/srv')],
    ['[2001:db8::1]:/srv', ssh('2001:db8::1', '/srv')],
    ['www@[fe80::1%eth0]:/srv', ssh('www@fe80::1%eth0', '/srv')],
    ["web1:/it's here", ssh('web1', "/it's here")],
  ])('reads %s', (text, expected) => {
    expect(parseDestination(text)).toEqual(expected);
  });

  it.each([
    ['', 'empty'],
    [':/srv', 'no host'],
    ['web1:', 'names no path'],
    ['web1::module', 'rsync daemon'],
    ['ssh://web1/srv', '--rsh'],
    ['-oProxyCommand=x:/srv', 'dash'],
    ['a@-oProxyCommand=x:/srv', 'dash'],
    ['a b:/srv', 'illegal'],
    ['$(x):/srv', 'illegal'],
    ['[::1]/srv', 'colon'],
    ['[]:/srv', 'no host'],
    ['@web1:/srv', 'no user'],
    ['web1:~bob/site', 'whole path'],
  ])('refuses %s and says why', (text, why) => {
    expect(() => parseDestination(text)).toThrow(why);
    expect(() => parseDestination(text)).toThrow(FamError);
  });

  it('is undone by showDestination', () => {
    for (const text of ['/mnt/copy', 'web1:/var/www', 'www@[2001:db8::1]:site', '[::1]:/srv', 'a@b:c:d']) {
      expect(showDestination(parseDestination(text))).toBe(text);
    }
  });
});
