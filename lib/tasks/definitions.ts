import { z } from 'zod';
import { diseaseAxes } from '../cohort/disease-axes.js';
import { cohortName } from '../cohort/simulate.js';
import { positiveDays } from '../config.js';
import type { MedsDataset } from '../data/meds.js';
import { describeCodeSet, SomeCodes } from './code-set.js';

const about = {
	/** Folder name: lower case, digits, hyphens. */
	name: z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be lower case words joined by hyphens'),
	/** Shown to people. */
	label: z.string(),
	horizonsDays: z.array(positiveDays).min(1).default([30, 180, 365]),
};

/** What is predicted: whether one of some codes occurs within a horizon, when the first one does, or whether a drug takes the
 * place of another. */
export const TaskDefinition = z.discriminatedUnion('kind', [
	z.strictObject({
		...about,
		/** `event`: may have happened before. `incident`: patients whose history already holds it are left out. */
		kind: z.enum(['event', 'incident']),
		codes: SomeCodes,
		/** Only patients whose history holds one of these, such as the disease that may progress; absent: all. */
		after: SomeCodes.optional(),
	}),
	z.strictObject({
		...about,
		/** Days to the first event, or to the end of follow-up; horizons are where its AUROC is read. */
		kind: z.literal('time-to-event'),
		codes: SomeCodes,
		/** Leave out patients whose history already holds it. Default: false. */
		incident: z.boolean().optional(),
	}),
	z.strictObject({
		...about,
		/** The first day of a drug on which another of the set came on an earlier day; of patients who have had one. */
		kind: z.literal('change'),
		drugs: z.array(SomeCodes).min(2),
	}),
]);
export type TaskDefinition = z.infer<typeof TaskDefinition>;
export type TimeToEventTask = Extract<TaskDefinition, { kind: 'time-to-event' }>;
/** Tasks that are labelled at horizons. */
export type HorizonTask = Exclude<TaskDefinition, TimeToEventTask>;

const horizonsDays = [30, 180, 365];

/** Tasks that any MEDS data set with the usual codes supports. */
export const commonTasks: readonly TaskDefinition[] = [
	{
		name: 'death',
		label: 'Death',
		kind: 'event',
		codes: { exact: ['MEDS_DEATH'], prefix: ['MEDS_DEATH//'] },
		horizonsDays,
	},
	{
		name: 'hospital-admission',
		label: 'Hospital admission',
		kind: 'event',
		codes: { exact: ['HOSPITAL_ADMISSION'], prefix: ['HOSPITAL_ADMISSION//'] },
		horizonsDays,
	},
	{
		name: 'icu-admission',
		label: 'Intensive care admission',
		kind: 'event',
		codes: { exact: ['ICU_ADMISSION'], prefix: ['ICU_ADMISSION//'] },
		horizonsDays,
	},
];

/** Tasks of the simulated cohort: the common ones, and the first diagnosis of each axis' second stage. */
export const simulatedTasks: readonly TaskDefinition[] = [
	...commonTasks.filter(({ name }) => name !== 'icu-admission'),
	...diseaseAxes.map(({ name, stages }): TaskDefinition => {
		const stage = stages[1]!;
		return {
			name: `new-${name}`,
			label: `New diagnosis: ${stage.description.toLowerCase()}`,
			kind: 'incident',
			codes: { exact: stages.slice(1).map(({ code }) => code), prefix: [] },
			// A month holds too few new diagnoses to be measured in a few thousand patients.
			horizonsDays: [180, 365],
		};
	}),
];

/** The tasks that fit a data set. */
export function definitionsFor(dataset: MedsDataset): TaskDefinition[] {
	return [...(dataset.name === cohortName ? simulatedTasks : commonTasks)];
}

/** Whether patients whose history holds the event are left out. */
export function isIncident(task: TaskDefinition): boolean {
	return task.kind === 'incident' || (task.kind === 'time-to-event' && task.incident === true);
}

/** One sentence for the report. */
export function describeTask(task: TaskDefinition): string {
	const when = 'from the day after the index date up to the horizon';
	if (task.kind === 'change') {
		const drugs = task.drugs.map(describeCodeSet).join('; ');
		return `the first day of one of these after another, ${when}, in patients who have had one: ${drugs}`;
	}
	const incident = isIncident(task) ? ', in patients whose history does not hold it' : '';
	if (task.kind === 'time-to-event') {
		return `days to the first of ${describeCodeSet(task.codes)} from the day after the index date${incident}; follow-up ends with the record or with death`;
	}
	const after = task.after === undefined ? '' : `, in patients whose history holds ${describeCodeSet(task.after)}`;
	return `${describeCodeSet(task.codes)} ${when}${incident}${after}`;
}
