// What this replica makes of the owners and modes that it is sent: `--owner-map`, `--group-map`, `--chmod`; and what an agent that is not
// root needs to work in its own folders.

import { type Attributes, Kind } from '../core/attributes.ts';
import { FamError } from '../core/errors.ts';
import { type IdMapRule, mapId, type ResolvedIdRule } from '../core/id-map.ts';
import { applyModeRules, type ModeRule, parseModeRules } from '../core/mode-rules.ts';
import { accountId } from '../runtime/accounts.ts';
import type { AttributeRules as Given, ToAgent } from '../wire/messages.ts';

export class AttributeRules {
  readonly #owners: readonly ResolvedIdRule[];
  readonly #groups: readonly ResolvedIdRule[];
  readonly #modes: readonly ModeRule[];
  readonly #folderMode: number;

  /**
   * @param isRoot this process may write in any folder. Another one can neither fill a folder that its owner may not write in, nor move it
   *   to its name.
   * @throws FamError USAGE when this host does not know a name
   */
  constructor(given: Given = { owners: [], groups: [], chmod: '' }, isRoot = true) {
    this.#folderMode = isRoot ? 0 : 0o700;
    this.#owners = given.owners.map((rule) => resolved(rule, 'passwd'));
    this.#groups = given.groups.map((rule) => resolved(rule, 'group'));
    this.#modes = parseModeRules(given.chmod) ?? [];
  }

  /** The message with every attribute as it is to be here. */
  message(message: ToAgent): ToAgent {
    switch (message.type) {
      case 'batch': {
        const changes = message.changes.map((change) =>
          change.type === 'inode' ? { ...change, attributes: this.#attributes(change.attributes) } : change,
        );
        return { ...message, changes };
      }
      case 'listing':
        return {
          ...message,
          entries: message.entries.map((entry) => ({
            ...entry,
            attributes: this.#attributes(entry.attributes),
          })),
        };
      case 'contents':
        return {
          ...message,
          files: message.files.map((file) => ({ ...file, attributes: this.#attributes(file.attributes) })),
        };
      default:
        return message;
    }
  }

  #attributes(attributes: Attributes): Attributes {
    const isDirectory = attributes.kind === Kind.directory;
    const added = isDirectory ? this.#folderMode : 0;
    return {
      ...attributes,
      uid: mapId(this.#owners, attributes.uid),
      gid: mapId(this.#groups, attributes.gid),
      // A symlink's mode means nothing and cannot be set.
      mode:
        attributes.kind === Kind.symlink
          ? attributes.mode
          : applyModeRules(this.#modes, attributes.mode, isDirectory) | added,
    };
  }
}

function resolved(rule: IdMapRule, database: 'passwd' | 'group'): ResolvedIdRule {
  const id = accountId(database, rule.target);
  if (id === undefined) {
    const what = database === 'passwd' ? 'user' : 'group';
    throw new FamError(
      'USAGE',
      `the replica's host knows no ${what} ${rule.target}: make it there, or map to a number`,
    );
  }
  return { from: rule.from, to: rule.to, id };
}
