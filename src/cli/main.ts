// cli/: one file a subcommand; each parses, calls and prints. Imports mirror, control and everything below.

import { Command, CommanderError, Option } from 'commander';
import { exitCodes, FamError, stackOf } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import { packageVersion } from '../runtime/version.ts';
import { surviveUnwritableStreams } from './standard-streams.ts';

surviveUnwritableStreams();

const program = new Command('fam')
  .description("Mirrors a file server's tree to its replicas the moment it changes.")
  .version(packageVersion(), '-V, --version')
  .showHelpAfterError('(fam --help, or fam COMMAND --help, tells more)')
  .exitOverride()
  .enablePositionalOptions();

const logFormat = new Option(
  '--log-format <format>',
  'text or JSON lines on stderr (default: text on a terminal)',
).choices(['text', 'json']);

program
  .command('mirror')
  .description('mirror SRC to every DEST (a local path, or [USER@]HOST:PATH over ssh), and keep it so')
  .argument('<src>', 'the folder whose users change things')
  .argument('<dest...>', 'the replicas')
  .option('-e, --rsh <command>', 'the ssh command to use, as in rsync (default: ssh)')
  .option(
    '--state <dir>',
    'where to keep the state (default: /var/lib/fam/NAME, or ~/.local/state/fam/NAME if not root)',
  )
  .option(
    '--init',
    "move what a replica has and the source lacks to the replica's trash (also: INIT_MIRROR=1)",
  )
  .option('--compare', 'compare the whole of each replica at the start, whatever it remembers')
  .option('--once', 'end when all replicas are in sync')
  .option('--trust-source', 'accept a source that is empty, replaced, or lacks most of what it had')
  .option(
    '--owner-map <map>',
    'users there for users here: FROM:TO,... with names, ids, ranges, * (as rsync --usermap)',
  )
  .option('--group-map <map>', 'the same for groups (as rsync --groupmap)')
  .option('--chmod <rules>', 'what becomes of permissions there, like D755,F644 or go=rX (as rsync --chmod)')
  .option('--bandwidth <rate>', 'send at most this much a second to each replica (500K, 10M, 1.5G)')
  .option('--bandwidth-total <rate>', 'send at most this much a second to all replicas together')
  .option('--compress', 'let ssh compress what it carries')
  .addOption(new Option('--monitor <kind>', 'force a kernel event source').choices(['fanotify', 'inotify']))
  .addOption(
    new Option('--durability <when>', 'what a replica syncs to disk before it counts as durable')
      .choices(['none', 'batch', 'file'])
      .default('batch'),
  )
  .addOption(logFormat)
  .addHelpText(
    'after',
    '\nExit codes: docs/exit-codes.md\nExample: fam mirror /var/www web1:/var/www web2:/var/www',
  )
  .action(async (source: string, destinations: string[], options: object) => {
    const { mirrorCommand } = await import('./mirror.ts');
    await mirrorCommand(source, destinations, options);
  });

program
  .command('promote')
  .description(
    'make a replica the main: it refuses the one that it has followed, and fam mirror can mirror from it',
  )
  .argument('<root>', 'the replica, on its own host')
  .option('--force', 'also if its first copy had not come to its end')
  .option('--undo', 'let it follow a main again')
  .addHelpText('after', '\nWhat to do when the main server dies: docs/takeover.md')
  .action(async (root: string, options: object) => {
    const { promoteCommand } = await import('./promote.ts');
    await promoteCommand(root, options);
  });

program
  .command('agent')
  .description("a replica's side; started by fam mirror over ssh")
  .argument('[root]', 'the replica')
  .option('--protocol', 'print the protocol version and exit')
  .option('--encoded', 'the root is percent-encoded')
  .option(
    '--restrict <dir>',
    'serve no replica outside this folder (for a forced command in authorized_keys)',
  )
  .action(async (root: string | undefined, options: { protocol?: true }) => {
    if (options.protocol) {
      // Asked before each connection to a host where fam is installed: nothing is loaded that this does not need.
      const { protocolLine } = await import('../transport/bootstrap.ts');
      process.stdout.write(`${protocolLine}\n`);
      return;
    }
    const { agentCommand } = await import('./agent.ts');
    await agentCommand(root, options);
  });

program
  .command('status')
  .description('how a running mirror and its replicas are; on a replica: whom it follows')
  .argument('[src]', 'the source of the mirror, or a replica on this host')
  .option('--state <dir>', 'its state folder')
  .option('--json', 'as JSON')
  .action(async (source: string | undefined, options: object) => {
    const { statusCommand } = await import('./status.ts');
    await statusCommand(source, options);
  });

program
  .command('wait')
  .description(
    'wait until all that has happened until now is on every replica, but for uploads that are still open',
  )
  .argument('[src]', 'the source of the mirror')
  .option('--state <dir>', 'its state folder')
  .option('--timeout <seconds>', 'give up after this long (a day at most), exit code 40', '60')
  .action(async (source: string | undefined, options: object) => {
    const { waitCommand } = await import('./wait.ts');
    await waitCommand(source, options);
  });

program
  .command('watch')
  .description('print what happens to files and directories, or run a command for it')
  .argument('<path...>', 'files and directories; directories with everything below them')
  .option('--json', 'one JSON object a line')
  .option(
    '--events <types>',
    'only these, separated by commas: created,changed,attributes,deleted,moved,rescan,...',
  )
  .option(
    '--filter <glob>',
    'only names that match, or with a leading ! not those; may be repeated',
    (glob: string, all: string[] = []) => [...all, glob],
  )
  .option('--initial', 'begin with what is there (exists ... endExist)')
  .option('--no-recursive', 'only what lies directly in the directories')
  .option('--follow', 'watch what symlinks lead to as well')
  .option('--executions', 'tell when programs below the paths start and stop (root)')
  .option(
    '--exec <command>',
    'run a shell command for changes: names in $FAM_PATH (a run each), or else on stdin',
  )
  .option('--restart', 'the command of --exec runs all the time; end it and start it again for each change')
  .option('--once', 'end after the first event, with the exit code of --exec')
  .option('--timeout <seconds>', 'with --once: give up after this long, exit code 40')
  .option(
    '--settle <ms>',
    'a file that stays open counts as changed after this long without a write (default: 500)',
  )
  .addOption(new Option('--monitor <kind>', 'force a kernel event source').choices(['fanotify', 'inotify']))
  .addOption(logFormat)
  .addHelpText(
    'after',
    '\nExit codes: docs/exit-codes.md\nExample: fam watch /var/www --exec \'rsync -aR "$FAM_PATH" web1:/\'',
  )
  .action(async (paths: string[], options: object) => {
    const { watchCommand } = await import('./watch.ts');
    await watchCommand(paths, options);
  });

program
  .command('demo')
  .description('mirror a temporary folder to two local replicas, and show how long each kind of change takes')
  .addOption(logFormat)
  .action(async () => {
    const { demoCommand } = await import('./demo.ts');
    await demoCommand();
  });

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.USAGE;
  else if (error instanceof FamError) {
    process.stderr.write(`fam: ${printable(error.message)}\n`);
    // A defect of ours: whoever reports it should be able to say where.
    if (error.code === 'INTERNAL' && error.cause instanceof Error)
      process.stderr.write(`${error.cause.stack}\n`);
    process.exitCode = error.exitCode;
  } else {
    process.stderr.write(`fam: internal error: ${stackOf(error)}\n`);
    process.exitCode = exitCodes.INTERNAL;
  }
}
