import type { ClassLabelRow } from '../../tasks/class-labels.js';
import type { ClassTaskEntry } from '../../tasks/read.js';
import type { CohortFlowRow } from '../../types.js';
import type { BootstrapOptions } from '../intervals.js';
import { pairsOf, type Read } from '../results.js';
import { type Division, partsOf } from '../subgroups.js';
import type { ClassDifference, ClassEvaluation, ClassResult, ClassStratum } from './class-file.js';
import {
	type ClassContrast,
	type ClassEstimates,
	type ClassOutcomes,
	classEstimates,
	undefinedClassEstimates,
} from './class-metrics.js';
import type { ClassReading, ClassScores } from './class-probe.js';
import type { ClassSamples } from './class-samples.js';

/** Every metric of every model for one task with several classes, whole and by part, and differences of models. */
export async function classResults(
	{ task, labels, classes }: ClassSamples,
	models: readonly Read<ClassReading>[],
	divisions: readonly Division[],
	options: BootstrapOptions,
): Promise<Pick<ClassEvaluation, 'results' | 'strata' | 'differences'>> {
	const place = new Map(classes.map((name, k) => [name, k]));
	const outcomesOf = (part: readonly ClassLabelRow[]): ClassOutcomes => ({
		patients: part.map(({ subjectId }) => subjectId),
		truth: part.map(({ value }) => place.get(value)!),
		classes,
	});
	const fitted = models.flatMap(({ about, reading }) => ('logs' in reading ? [{ about, reading }] : []));
	const pairs = pairsOf(fitted.map(({ about }) => about));
	const named = (
		{ a, b, place, metric, difference }: ClassContrast,
		part: Pick<ClassDifference, 'by' | 'group'>,
	): ClassDifference => ({
		a: fitted[a]!.about.name,
		b: fitted[b]!.about.name,
		task: task.name,
		by: part.by,
		group: part.group,
		class: place === null ? null : classes[place]!,
		metric,
		difference,
	});
	const heldOut = labels.held_out;
	const logsOf = ({ reading }: Read<ClassScores>) => reading.logs;
	const whole = await classEstimates(outcomesOf(heldOut), fitted.map(logsOf), pairs, options);
	const differences = whole.differences.map((one) => named(one, { by: null, group: null }));
	const results = models.map(({ about, reading }): ClassResult => {
		const at = fitted.findIndex((one) => one.about === about);
		const reason = 'undefinedReason' in reading ? reading.undefinedReason : '';
		return {
			model: about.name,
			task: task.name,
			...withCounts(at < 0 ? undefinedClassEstimates(reason, classes) : whole.models[at]!, labels, classes),
			...countsOf(heldOut),
			nTrainSamples: labels.train.length,
			l2: 'logs' in reading ? reading.l2 : null,
		};
	});
	const strata: ClassStratum[] = [];
	for (const { by, group, rows } of partsOf(divisions, heldOut)) {
		const part = rows.map((row) => heldOut[row]!);
		const scores = fitted.map((one) => rowsOf(logsOf(one), rows, classes.length));
		const read = await classEstimates(outcomesOf(part), scores, pairs, options);
		for (const [i, { about }] of fitted.entries()) {
			const { classes: _, ...together } = read.models[i]!;
			strata.push({ model: about.name, task: task.name, by, group, ...together, ...countsOf(part) });
		}
		const compared = read.differences.filter((one) => one.place === null);
		differences.push(...compared.map((one) => named(one, { by, group })));
	}
	return { results, strata, differences };
}

/** What the file says of the tasks, without results. */
export function emptyClassEvaluation(samples: readonly ClassSamples[]): ClassEvaluation {
	return {
		tasks: samples.map(({ task: { name, label, definition }, classes, unknownClass }) => ({
			...{ name, label, definition, unknownClass },
			classes: [...classes],
		})),
		results: [],
		strata: [],
		differences: [],
	};
}

/** A row of the cohort flow. */
export function classFlow({ label, patients, samples, classes, excluded }: ClassTaskEntry): CohortFlowRow {
	const { unlabelled, repeated, withoutSplit, withoutEvents } = excluded;
	return {
		stage: `${label}, classes`,
		patients,
		note: `${samples} samples: ${classes.map((one) => `${one.samples} of ${one.name}`).join(', ')}; left out: ${unlabelled} without a label, ${repeated} repeated, ${withoutSplit} of subjects in no split, ${withoutEvents} of subjects without events`,
	};
}

function withCounts(
	{ classes: estimates, ...together }: ClassEstimates,
	labels: ClassSamples['labels'],
	classes: readonly string[],
) {
	const of = (split: 'train' | 'held_out', name: string) => labels[split].filter(({ value }) => value === name).length;
	return {
		...together,
		classes: classes.map((name, k) => {
			const nPositives = of('held_out', name);
			return {
				name,
				...estimates[k]!,
				nPositives,
				prevalence: labels.held_out.length === 0 ? null : nPositives / labels.held_out.length,
				nTrainPositives: of('train', name),
			};
		}),
	};
}

/** Some rows of (rows x columns). */
function rowsOf(values: Float64Array, rows: readonly number[], columns: number): Float64Array {
	const result = new Float64Array(rows.length * columns);
	for (const [i, row] of rows.entries()) result.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
	return result;
}

function countsOf(labels: readonly ClassLabelRow[]): { readonly nSamples: number; readonly nPatients: number } {
	return { nSamples: labels.length, nPatients: new Set(labels.map(({ subjectId }) => subjectId)).size };
}
