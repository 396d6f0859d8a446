import type { Argv } from 'yargs';
import { openMeds } from '../../data/meds.js';
import { ConfigError } from '../../errors.js';
import { readJson } from '../../files/json.js';
import { buildTasks } from '../../tasks/build.js';
import { definitionsFor, type TaskDefinition } from '../../tasks/definitions.js';
import { withContext } from '../context.js';

export const command = 'tasks <meds> <out>';
export const describe = 'Draw index dates and label what happens after them';

export const builder = (yargs: Argv) =>
	yargs
		.positional('meds', { type: 'string', demandOption: true, describe: 'Root of a MEDS data set' })
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for index dates and labels' })
		.option('definitions', {
			type: 'string',
			describe: 'JSON file with an array of task definitions; see docs/evaluation.md',
		})
		.option('labels', { type: 'string', describe: 'Folder of ready MEDS label sets to add' })
		.option('per-patient', { type: 'number', default: 4, describe: 'Index dates per patient' })
		.option('min-history-days', { type: 'number', default: 3, describe: 'Days with events up to an index date' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the index dates' })
		.example('$0 tasks cohort tasks', 'Death, admissions and, for a simulated cohort, new diagnoses');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { meds, out, perPatient, minHistoryDays, seed } = args;
		const list = await buildTasks(
			meds,
			out,
			{
				tasks:
					args.definitions === undefined ? definitionsFor(await openMeds(meds)) : await definitionsIn(args.definitions),
				perPatient,
				minHistoryDays,
				seed,
				...(args.labels === undefined ? {} : { externalLabels: args.labels }),
			},
			context.operation(),
		);
		const lines = list.tasks.map(
			({ name, horizonDays, samples, positives, excluded, matchingEvents }) =>
				`${name.padEnd(32)} ${horizonDays === null ? '' : `${horizonDays} d`}`.padEnd(42) +
				`${samples} samples, ${positives} positive, ${excluded.censored} censored${matchingEvents === 0 ? '  (no event matches!)' : ''}`,
		);
		context.result([`${out}: ${list.rule}`, ...lines].join('\n'), list);
	});
}

async function definitionsIn(file: string): Promise<TaskDefinition[]> {
	const about = { scope: 'tasks --definitions', rule: 'must be a JSON file', error: ConfigError };
	return (await readJson(file, about)) as TaskDefinition[];
}
