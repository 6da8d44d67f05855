// `--owner-map`, `--group-map` and `--chmod`, checked before anything is begun.

import { FamError } from '../core/errors.ts';
import { type IdMapRule, parseIdMap } from '../core/id-map.ts';
import { parseModeRules } from '../core/mode-rules.ts';
import { accountId } from '../runtime/accounts.ts';
import type { AttributeRules } from '../wire/messages.ts';

/** @throws FamError USAGE */
export function attributeRules(
  ownerMap: string | undefined,
  groupMap: string | undefined,
  chmod: string | undefined,
): AttributeRules | undefined {
  if (ownerMap === undefined && groupMap === undefined && chmod === undefined) return undefined;
  if (chmod !== undefined && parseModeRules(chmod) === undefined) {
    throw new FamError('USAGE', `--chmod takes rules like D755,F644 or go=rX, not ${chmod}`);
  }
  return {
    owners: idMap('--owner-map', 'passwd', ownerMap),
    groups: idMap('--group-map', 'group', groupMap),
    chmod: chmod ?? '',
  };
}

function idMap(option: string, database: 'passwd' | 'group', text: string | undefined): IdMapRule[] {
  if (text === undefined) return [];
  const rules = parseIdMap(text, (name) => accountId(database, name));
  if (typeof rules === 'string') throw new FamError('USAGE', `${option}: ${rules}`);
  return rules;
}
