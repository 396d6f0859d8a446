import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { evaluate } from '../../evaluate/evaluate.js';
import { withContext } from '../context.js';
import { probeTable } from '../probe-table.js';

export const command = 'evaluate <meds> <tasks> <out>';
export const describe = 'Probe embeddings: AUROC by horizon with patient-level intervals';

export const builder = (yargs: Argv) =>
	yargs
		.positional('meds', { type: 'string', demandOption: true, describe: 'MEDS data set of the tasks' })
		.positional('tasks', { type: 'string', demandOption: true, describe: 'Folder written by tasks' })
		.positional('out', { type: 'string', demandOption: true, describe: 'evaluation.json to write' })
		.option('model', {
			type: 'string',
			array: true,
			demandOption: true,
			describe: 'name=embeddings.parquet, once per model; "untrained" names the baseline',
		})
		.option('draws', { type: 'number', default: 1000, describe: 'Bootstrap resamples of patients' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the resamples' })
		.example(
			'$0 evaluate cohort tasks evaluation.json --model sft=sft.parquet --model both=both.parquet',
			'Counts are added as a baseline',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const models = args.model.map((text) => {
			const [name, embeddings] = [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)];
			if (!text.includes('=') || name === '' || embeddings === '') {
				throw new ConfigError(`[evaluate] --model must be name=embeddings.parquet but is ${text}`);
			}
			return {
				name,
				label: name,
				kind: name === 'untrained' ? ('untrained' as const) : ('encoder' as const),
				description: embeddings,
				embeddings,
			};
		});
		const { meds, tasks, out, draws, seed } = args;
		const file = await evaluate({ meds, tasks, models, out, draws, seed }, context.operation());
		context.result(probeTable(file), file);
	});
}
