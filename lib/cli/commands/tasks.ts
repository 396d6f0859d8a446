import type { Argv } from 'yargs';
import { openMeds } from '../../data/meds.js';
import { ConfigError } from '../../errors.js';
import { readJson } from '../../files/json.js';
import { kindOf } from '../../found.js';
import { buildTasks } from '../../tasks/build.js';
import { definitionsFor, type TaskDefinition } from '../../tasks/definitions.js';
import { type IndexRuleInput, plainIndexRules } from '../../tasks/index-rules.js';
import type { TaskListEntry } from '../../tasks/read.js';
import { withContext } from '../context.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';

export const command = 'tasks <meds> <out>';
export const describe = 'Draw index dates and label what happens after them';

export const builder = (yargs: Argv) =>
	withLifeCodes(yargs)
		.positional('meds', { type: 'string', demandOption: true, describe: 'Root of a MEDS data set' })
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for index dates and labels' })
		.option('definitions', {
			type: 'string',
			describe: 'JSON file with an array of task definitions; see docs/evaluation.md',
		})
		.option('index', {
			choices: plainIndexRules,
			array: true,
			describe: 'Which days are index dates; several may be named. Default: random',
		})
		.option('index-rules', {
			type: 'string',
			describe: 'JSON file with an array of index rules, such as days after a diagnosis; see docs/evaluation.md',
		})
		.option('labels', { type: 'string', describe: 'Folder of ready MEDS label sets to add: <task>/**.parquet' })
		.option('buffer-days', {
			type: 'number',
			default: 0,
			describe:
				'Days after the index day whose events belong to no target: keeps what foretells an event out of its history',
		})
		.option('drop-days-before-death', {
			type: 'number',
			default: 0,
			describe: 'Leave out index dates so many days or fewer before the day of death',
		})
		.option('hide-code', {
			type: 'string',
			array: true,
			describe: 'Code whose events no model may see; a * at its end stands for what begins so',
		})
		.option('hide-deciding-codes', {
			type: 'boolean',
			default: false,
			describe: 'Hide the codes of the history that nearly decide a label',
		})
		.option('per-patient', { type: 'number', default: 4, describe: 'Index dates per patient of the rule random' })
		.option('min-history-days', { type: 'number', default: 3, describe: 'Days with events up to an index date' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the index dates' })
		.example('$0 tasks cohort tasks', 'Death, admissions and, for a simulated cohort, new diagnoses');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { meds, out, perPatient, minHistoryDays, bufferDays, dropDaysBeforeDeath, hideDecidingCodes, seed } = args;
		const list = await buildTasks(
			meds,
			out,
			{
				tasks:
					args.definitions === undefined ? definitionsFor(await openMeds(meds)) : await definitionsIn(args.definitions),
				perPatient,
				minHistoryDays,
				bufferDays,
				dropDaysBeforeDeath,
				hideDecidingCodes,
				hideCodes: codeSetOf(args.hideCode ?? []),
				...(await indexRulesOf(args)),
				lifeCodes: lifeCodesOf(args),
				seed,
				...(args.labels === undefined ? {} : { externalLabels: args.labels }),
			},
			context.operation(),
		);
		const lines = list.tasks.map(
			({ name, horizonDays, samples, positives, excluded, matchingEvents }) =>
				`${name.padEnd(32)} ${horizonDays === null ? '' : `${horizonDays} d`}`.padEnd(42) +
				`${samples} samples, ${positives} positive${leftOut(excluded)}${matchingEvents === 0 ? '  (no event matches!)' : ''}`,
		);
		const { train, tuning, held_out } = list.subjectsWithoutIndexDates;
		context.result(
			[
				`${out}: ${list.rule}`,
				...list.indexRules.map(
					({ name, dates, patients, beforeDeath, matchingEvents }) =>
						`index dates ${name.padEnd(20)} ${dates} of ${patients} patients${beforeDeath === 0 ? '' : `; left out: ${beforeDeath} near death`}${
							matchingEvents === 0 ? '  (no event matches!)' : ''
						}`,
				),
				...(list.hiddenCodes.length === 0 ? [] : [`hidden codes: ${list.hiddenCodes.join(', ')}`]),
				...lines,
				`subjects without an index date (too few days with events): ${train} train, ${tuning} tuning, ${held_out} held out`,
				...list.notes.map((note) => `note: ${note}`),
			].join('\n'),
			list,
		);
	});
}

/** What of the samples was left out, in words. */
function leftOut(excluded: TaskListEntry['excluded']): string {
	const words: Readonly<Record<keyof typeof excluded, string>> = {
		censored: 'censored',
		prevalent: 'with it before',
		inBuffer: 'with it in the buffer',
		unlabelled: 'without a label',
		repeated: 'repeated',
		withoutSplit: 'of subjects in no split',
		withoutEvents: 'of subjects without events',
	};
	const parts = Object.entries(words).flatMap(([reason, text]) => {
		const count = excluded[reason as keyof typeof excluded];
		return count > 0 ? [`${count} ${text}`] : [];
	});
	return parts.length === 0 ? '' : `; left out: ${parts.join(', ')}`;
}

function codeSetOf(codes: readonly string[]) {
	return {
		exact: codes.filter((code) => !code.endsWith('*')),
		prefix: codes.filter((code) => code.endsWith('*')).map((code) => code.slice(0, -1)),
	};
}

/** Rules of both options; none leaves the default. */
async function indexRulesOf({
	index = [],
	indexRules,
}: {
	readonly index?: readonly (typeof plainIndexRules)[number][] | undefined;
	readonly indexRules?: string | undefined;
}): Promise<{ readonly indexRules?: IndexRuleInput[] }> {
	const about = {
		scope: 'tasks --index-rules',
		rule: 'must be a JSON file with an array of rules',
		error: ConfigError,
	};
	const named = index.map((kind): IndexRuleInput => ({ kind }));
	if (indexRules === undefined) return named.length === 0 ? {} : { indexRules: named };
	const read = await readJson(indexRules, about);
	if (!Array.isArray(read))
		throw new ConfigError(`[tasks --index-rules] must be a list of rules but is ${kindOf(read)}`);
	return { indexRules: [...named, ...(read as IndexRuleInput[])] };
}

async function definitionsIn(file: string): Promise<TaskDefinition[]> {
	const about = { scope: 'tasks --definitions', rule: 'must be a JSON file', error: ConfigError };
	return (await readJson(file, about)) as TaskDefinition[];
}
