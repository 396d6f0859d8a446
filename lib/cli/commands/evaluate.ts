import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { evaluateTogether } from '../../evaluate/evaluate.js';
import { survivalProbeKinds } from '../../evaluate/survival/survival-file.js';
import { divided, divisionOptions } from '../divided.js';
import { namedFile } from '../named-file.js';
import { probeTable } from '../probe-table.js';

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
		.option('rollout', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'name=rollout.parquet of a model, written by embed --rollout (simulated cohort)',
		})
		.option('store', { type: 'string', describe: 'Token store of the embeddings: the report then tells what is in it' })
		.option('predictions', {
			type: 'string',
			describe:
				'New folder for held-out predictions as meds-evaluation reads them: <model>/<task>/<horizon>d/*.parquet; risks of times to events',
		})
		.option('subgroup', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'Beginning of codes to divide results by, beside sex, age and index rule, such as RACE//',
		})
		.option('training-sizes', {
			choices: ['shots', 'share'] as const,
			array: true,
			default: [] as ('shots' | 'share')[],
			describe: 'Also fit every model on k samples of each class (1 to 128), on shares of the patients of train',
		})
		.option('replicates', { type: 'number', default: 5, describe: 'Draws of each training size' })
		.option('trajectories', {
			type: 'string',
			describe:
				'JSON file to write: the course of single held-out patients and a map of states, for report --trajectories',
		})
		.option('patient', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'Subject whose course it holds; without one the seed draws three',
		})
		.option('time-to-event-probe', {
			choices: survivalProbeKinds,
			default: 'cox' as const,
			describe: 'How times to events are read: Cox regression, or hazards of discrete periods',
		})
		.options(divisionOptions)
		.option('draws', { type: 'number', default: 1000, describe: 'Bootstrap resamples of patients' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the resamples' })
		.example(
			'$0 evaluate cohort tasks evaluation.json --model sft=sft.parquet --model both=both.parquet',
			'Counts are added as a baseline',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await divided('evaluate', args, async (context, division) => {
		const rollouts = new Map<string, string>();
		for (const text of args.rollout) {
			const [name, file] = namedFile('evaluate', 'rollout', text, 'rollout.parquet');
			if (rollouts.has(name))
				throw new ConfigError(`[evaluate] --rollout must name a --model once but names ${name} twice`);
			rollouts.set(name, file);
		}
		const models = args.model.map((text) => {
			const [name, embeddings] = namedFile('evaluate', 'model', text, 'embeddings.parquet');
			const rollout = rollouts.get(name);
			rollouts.delete(name);
			return {
				name,
				label: name,
				kind: name === 'untrained' ? ('untrained' as const) : ('encoder' as const),
				description: embeddings,
				embeddings,
				...(rollout === undefined ? {} : { rollout }),
			};
		});
		for (const name of rollouts.keys()) {
			throw new ConfigError(`[evaluate] --rollout must name a --model but names ${name}`);
		}
		const { meds, tasks, out, draws, seed, store, predictions, subgroup, trajectories, patient } = args;
		using _lock = await division.claim(out, { replace: true });
		const file = await evaluateTogether(
			{
				meds,
				tasks,
				models,
				out,
				draws,
				seed,
				subgroups: subgroup,
				...trainingSizesOf(args),
				timeToEventProbe: args.timeToEventProbe,
				...(store === undefined ? {} : { store }),
				...(predictions === undefined ? {} : { predictions }),
				...(trajectories === undefined ? {} : { trajectories }),
				patients: patient,
			},
			context.operation(),
			division,
		);
		if (file === undefined) return;
		context.result(probeTable(file), file);
	});
}

/** What was not named is left out. */
function trainingSizesOf({
	trainingSizes,
	replicates,
}: {
	readonly trainingSizes: readonly ('shots' | 'share')[];
	readonly replicates: number;
}) {
	if (trainingSizes.length === 0) return {};
	const all = {
		replicates,
		...(trainingSizes.includes('shots') ? {} : { shots: [] }),
		...(trainingSizes.includes('share') ? {} : { shares: [] }),
	};
	return { trainingSizes: all };
}
