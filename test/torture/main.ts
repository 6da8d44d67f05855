// `npm run torture`: a campaign of random histories, or one of them again. docs/torture.md.

import { fileURLToPath } from 'node:url';
import { campaign, replay } from './campaign.ts';
import { abandonHistory } from './history.ts';
import { runLanes } from './lanes.ts';
import { faultList, Ledger, table } from './ledger.ts';
import { type CommandLine, parseCommandLine, usage } from './options.ts';

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(command: CommandLine, args: readonly string[]): Promise<boolean> {
  if (command.replay !== undefined) return replay(command.replay, command, print);
  if (command.isLane) return campaign(command, print);
  const { options, lane, out } = command;
  const rows = command.allRows ? 'all rows, ' : '';
  print(`${rows}seed ${options.seed}, ${options.minutes} minutes: ${JSON.stringify(options)}`);
  const since = new Date();
  const isGood =
    lane.of === 1
      ? await campaign(command, print)
      : await runLanes(
          fileURLToPath(import.meta.url),
          ['--seed', `${options.seed}`, ...args],
          lane.of,
          print,
        );
  const lines = new Ledger(out).since(since);
  print(table(lines));
  print(`faults: ${faultList(lines)}`);
  print(isGood ? 'all equal' : 'FAILED');
  return isGood;
}

try {
  const args = process.argv.slice(2);
  const command = parseCommandLine(args);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      // Lanes end themselves, and then so does this process.
      if (command.isLane || command.lane.of === 1) void abandonHistory().finally(() => process.exit(130));
    });
  }
  process.exitCode = (await run(command, args)) ? 0 : 1;
} catch (error) {
  print(error instanceof Error ? (error.stack ?? error.message) : String(error));
  print(usage);
  process.exitCode = 2;
}
