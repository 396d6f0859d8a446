import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { launchRanks } from '../../ranks/launcher.js';

/** The commands that several processes can run together. */
export const launchable: readonly string[] = ['train', 'embed', 'score', 'evaluate'];

export const builder = (yargs: Argv) =>
	yargs
		.option('processes', {
			alias: 'n',
			type: 'number',
			demandOption: true,
			describe: 'Processes on this machine, one a device',
		})
		.option('nodes', { type: 'number', default: 1, describe: 'Machines, on each of which launch is called' })
		.option('node-rank', { type: 'number', default: 0, describe: 'Which of the machines this is, from 0' })
		.option('master-addr', {
			type: 'string',
			describe: 'Machine 0, as all of them reach it; on one machine 127.0.0.1 without it',
		})
		.option('master-port', { type: 'number', describe: 'A free port there; on one machine one is found' })
		.option('max-restarts', {
			type: 'number',
			default: 0,
			describe: 'How often all start again from the newest checkpoint when one has failed',
		})
		.example('$0 launch -n 2 train store runs/both --steps 800', 'Two processes on this machine')
		.example('$0 launch -n 8 --max-restarts 3 train store runs/both', 'Start again after a failure')
		.example(
			'$0 launch -n 8 --nodes 2 --node-rank 1 --master-addr node0 --master-port 29500 train store runs/both',
			'The second of two machines (docs/cluster.md)',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	// What follows the options, as main.ts has split it.
	const rest = ((args as { readonly '--'?: readonly unknown[] })['--'] ?? []).map(String);
	if (!launchable.includes(rest[0] ?? '')) {
		throw new ConfigError(
			`[launch] the command must be one of ${launchable.join(', ')} but is ${rest[0] ?? 'missing'}; for example: ehr-jepa launch -n 2 train store run`,
		);
	}
	const whole = (flag: string, value: number, least: number, most: number): number => {
		if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
		throw new ConfigError(`[launch] ${flag} must be a whole number from ${least} to ${most} but is ${value}`);
	};
	const processes = whole('--processes', args.processes, 1, 1024);
	const nodes = whole('--nodes', args.nodes, 1, 65_536);
	const port = args.masterPort === undefined ? undefined : whole('--master-port', args.masterPort, 1, 65_535);
	if (nodes > 1 && (port === undefined || args.masterAddr === undefined)) {
		throw new ConfigError(
			'[launch] --master-addr and --master-port must be given with more than one of --nodes, the same on every machine, but are not',
		);
	}
	process.exitCode = await launchRanks({
		command: [process.execPath, fileURLToPath(new URL('../main.js', import.meta.url)), ...rest],
		processes,
		nodes,
		nodeRank: whole('--node-rank', args.nodeRank, 0, nodes - 1),
		address: args.masterAddr ?? '127.0.0.1',
		port,
		maxRestarts: whole('--max-restarts', args.maxRestarts, 0, 1_000_000),
		say: (line) => process.stderr.write(`${line}\n`),
	});
}
