import { basename } from 'node:path';
import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { writeReport } from '../../report/report.js';
import { withContext } from '../context.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('evaluation', { type: 'string', demandOption: true, describe: 'evaluation.json' })
		.positional('out', { type: 'string', demandOption: true, describe: 'HTML file to write' })
		.option('run', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'name=folder of a run; the name is that of the model in evaluation.json',
		})
		.option('trajectories', {
			type: 'string',
			describe: 'trajectories.json of evaluate --trajectories: single patients and a map of states',
		})
		.option('earlier', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'evaluation.json of earlier checkpoints of the runs: AUROC against tokens seen',
		})
		.option('title', { type: 'string', describe: 'Heading of the report' })
		.example(
			'$0 report evaluation.json report.html --run sft=runs/sft --run both=runs/both',
			'Loss curves come from the run folders',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const runs = args.run.map((text) => {
			const at = text.indexOf('=');
			if (at === 0 || at === text.length - 1)
				throw new ConfigError(`[report] --run must be name=folder or folder but is ${text}`);
			const directory = text.slice(at + 1);
			const name = at < 0 ? basename(directory) : text.slice(0, at);
			return { name, label: name, directory };
		});
		await writeReport(args.out, {
			evaluation: args.evaluation,
			runs,
			earlier: args.earlier,
			...(args.trajectories === undefined ? {} : { trajectories: args.trajectories }),
			...(args.title === undefined ? {} : { title: args.title }),
		});
		context.result(args.out, { out: args.out });
	});
}
