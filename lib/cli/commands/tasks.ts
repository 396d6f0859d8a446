import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Argv } from 'yargs';
import { openMeds } from '../../data/meds.js';
import { ConfigError } from '../../errors.js';
import { fileFault, readJson } from '../../files/json.js';
import { kindOf } from '../../found.js';
import type { AcesTaskSource } from '../../tasks/aces-tasks.js';
import { buildTasks } from '../../tasks/build.js';
import { definitionsFor, type TaskDefinition } from '../../tasks/definitions.js';
import { type IndexRuleInput, plainIndexRules } from '../../tasks/index-rules.js';
import { libraryNames, libraryTasks } from '../../tasks/library.js';
import type { TaskListEntry, TimeToEventEntry } from '../../tasks/read.js';
import { withContext } from '../context.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';

export const builder = (yargs: Argv) =>
	withLifeCodes(yargs)
		.positional('meds', { type: 'string', demandOption: true, describe: 'Root of a MEDS data set' })
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for index dates and labels' })
		.option('definitions', {
			type: 'string',
			describe: 'JSON file with an array of task definitions; see docs/evaluation.md',
		})
		.option('library', {
			choices: libraryNames,
			array: true,
			describe: 'Built-in tasks, in place of the usual ones',
		})
		.option('task', {
			type: 'string',
			array: true,
			default: [] as string[],
			describe: 'YAML file of a task in the form of ACES, in place of the usual ones; its name is that of the file',
		})
		.option('predicates', {
			type: 'string',
			describe: "YAML file with the data set's predicates, which take the place of those of each --task",
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
				...(await tasksOf(args)),
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
		const lines = list.tasks.flatMap(
			({ name, horizonDays, samples, positives, excluded, matchingEvents, ...more }, i) => [
				`${name.padEnd(32)} ${horizonDays === null ? '' : `${horizonDays} d`}`.padEnd(42) +
					`${samples} samples, ${positives} positive${leftOut(excluded)}${matchingEvents === 0 ? '  (no event matches!)' : ''}`,
				// Those of a task are the same at each horizon.
				...(list.tasks[i - 1]?.name === name ? [] : (more.predicates ?? [])).map(
					(one) => `    predicate ${one.name.padEnd(28)} ${one.events} events`,
				),
				...(more.flow ?? []).map((one) => `    ${one.step.padEnd(38)} ${one.samples} samples`),
			],
		);
		for (const { name, samples, events, died, excluded, matchingEvents } of list.timeToEvent) {
			lines.push(
				`${name.padEnd(32)} time`.padEnd(42) +
					`${samples} samples, ${events} with the event, ${samples - events} censored (${died} by death)${leftOut(excluded)}${
						matchingEvents === 0 ? '  (no event matches!)' : ''
					}`,
			);
		}
		for (const { name, samples, patients, classes, excluded } of list.classes) {
			lines.push(
				`${name.padEnd(32)} classes`.padEnd(42) +
					`${samples} samples of ${patients} patients: ${classes.map((one) => `${one.name} ${one.samples}`).join(', ')}${leftOut(excluded)}`,
			);
		}
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
function leftOut(excluded: Partial<Record<keyof typeof leftOutWords, number>>): string {
	const parts = Object.entries(leftOutWords).flatMap(([reason, text]) => {
		const count = excluded[reason as keyof typeof leftOutWords] ?? 0;
		return count > 0 ? [`${count} ${text}`] : [];
	});
	return parts.length === 0 ? '' : `; left out: ${parts.join(', ')}`;
}

const leftOutWords: Readonly<Record<keyof (TaskListEntry['excluded'] & TimeToEventEntry['excluded']), string>> = {
	censored: 'censored',
	prevalent: 'with it before',
	inBuffer: 'with it in the buffer',
	notAtRisk: 'not at risk',
	unlabelled: 'without a label',
	repeated: 'repeated',
	withoutSplit: 'of subjects in no split',
	withoutEvents: 'of subjects without events',
	withoutFollowUp: 'without follow-up',
};

function codeSetOf(codes: readonly string[]) {
	return {
		exact: codes.filter((code) => !code.endsWith('*')),
		prefix: codes.filter((code) => code.endsWith('*')).map((code) => code.slice(0, -1)),
	};
}

/** What is predicted: definitions, built-in tasks and files of tasks; by default what fits the data. */
async function tasksOf({
	meds,
	definitions,
	library = [],
	task,
	predicates,
}: {
	readonly meds: string;
	readonly definitions?: string | undefined;
	readonly library?: readonly string[] | undefined;
	readonly task: readonly string[];
	readonly predicates?: string | undefined;
}) {
	if (predicates !== undefined && task.length === 0)
		throw new ConfigError('[tasks] --predicates must stand beside a --task but none is given');
	const own = predicates === undefined ? {} : { predicates: await textOf('predicates', predicates) };
	const read: AcesTaskSource[] = [];
	for (const file of task)
		read.push({ name: basename(file).replace(/\.ya?ml$/i, ''), yaml: await textOf('task', file), ...own });
	const named = libraryTasks(library);
	const usual = library.length + task.length === 0 ? definitionsFor(await openMeds(meds)) : [];
	return {
		tasks: [
			...(definitions === undefined
				? usual
				: ((await listIn('definitions', definitions, 'task definitions')) as TaskDefinition[])),
			...named.tasks,
		],
		acesTasks: [...named.acesTasks, ...read],
	};
}

async function textOf(option: string, file: string): Promise<string> {
	try {
		return await readFile(file, 'utf8');
	} catch (cause) {
		throw new ConfigError(`[tasks] --${option} must be a readable file but ${file} is not: ${fileFault(cause)}`, {
			cause,
		});
	}
}

/** Rules of both options; none leaves the default. */
async function indexRulesOf({
	index = [],
	indexRules,
}: {
	readonly index?: readonly (typeof plainIndexRules)[number][] | undefined;
	readonly indexRules?: string | undefined;
}): Promise<{ readonly indexRules?: IndexRuleInput[] }> {
	const named = index.map((kind): IndexRuleInput => ({ kind }));
	if (indexRules === undefined) return named.length === 0 ? {} : { indexRules: named };
	return { indexRules: [...named, ...((await listIn('index-rules', indexRules, 'rules')) as IndexRuleInput[])] };
}

/** A JSON file that holds a list, whose entries are checked with the other options. */
async function listIn(option: string, file: string, what: string): Promise<unknown[]> {
	const scope = `tasks --${option}`;
	const read = await readJson(file, {
		scope,
		rule: `must be a JSON file with an array of ${what}`,
		error: ConfigError,
	});
	if (!Array.isArray(read)) throw new ConfigError(`[${scope}] must be a list of ${what} but is ${kindOf(read)}`);
	return read;
}
