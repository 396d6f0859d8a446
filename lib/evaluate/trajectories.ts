import { ConfigError } from '../errors.js';
import { writeWhole } from '../files/whole.js';
import { RandomStream } from '../random.js';
import { type IndexDateRow, sampleKey } from '../tasks/read.js';
import type { BaselineInput } from './baseline-tables.js';
import type { EvaluatedModel } from './evaluation-file.js';
import { type FeatureTable, Standardiser, selectRows } from './features.js';
import { grouped } from './grouped.js';
import { patientEvents } from './patient-events.js';
import { principalAxes } from './principal-axes.js';
import { type Risks, refits, riskReader } from './risk-intervals.js';
import type { EvaluationSamples, TaskSamples } from './samples.js';
import { TrajectoriesFile, type Trajectory } from './trajectories-file.js';

/** Encoders whose states are drawn; an evaluation may have many. */
const drawnEncoders = 3;
/** Tasks whose risks are drawn, those with the most positives. */
const drawnTasks = 3;
/** Held-out states on the map; more would hide each other. */
const mapPoints = 1500;
/** Pairs of training patients whose distance is measured. */
const strangerPairs = 1000;
/** A patient with fewer index dates has no course to look at. */
const fewestDates = 3;
const level = 0.95;

export interface TrajectoryOptions {
	/** Subjects to show; empty: drawn by the seed. */
	readonly subjects: readonly string[];
	/** Patients that are drawn when none is named. */
	readonly count: number;
	readonly seed: number;
}

interface ReadModel {
	readonly about: EvaluatedModel;
	readonly table: FeatureTable;
	readonly rowOf: ReadonlyMap<string, number>;
}

/**
 * The course of single held-out patients as the models see it, and a map of held-out states.
 *
 * @param samples - Those that every model has features for.
 * @throws {ConfigError} For a subject that is not in held-out or has no states.
 */
export async function trajectories(
	input: BaselineInput,
	{ tasks, indexDates }: EvaluationSamples,
	models: readonly ReadModel[],
	{ subjects, count, seed }: TrajectoryOptions,
): Promise<TrajectoriesFile> {
	const { signal } = input;
	const common = indexDates.filter((date) => models.every(({ rowOf }) => rowOf.has(sampleKey(date))));
	const of = (split: string) => common.filter((date) => date.split === split);
	const [train, heldOut] = [of('train'), of('held_out')];
	const datesOf = grouped(heldOut, ({ subjectId }) => subjectId);
	for (const dates of datesOf.values()) dates.sort((a, b) => (a.predictionTime < b.predictionTime ? -1 : 1));
	const chosen = chosenSubjects(subjects, datesOf, indexDates, count, seed);
	const encoders = models.filter(({ about }) => about.kind === 'encoder').slice(0, drawnEncoders);
	const mapped = [...encoders, ...models.filter(({ about }) => about.kind === 'untrained').slice(0, 1)];
	const asked = questions(tasks);
	const drawn = shuffled(heldOut, seed, 1).slice(0, mapPoints);
	const maps: TrajectoriesFile['map']['models'] = [];
	const strangers: TrajectoriesFile['strangers'] = [];
	const standardised = new Map<ReadModel, Standardiser>();
	if (train.length > 0) {
		for (const model of mapped) {
			const states = selectRows(model.table, rowsOf(model, train));
			const standardiser = new Standardiser(states, model.table.columns);
			standardised.set(model, standardiser);
			const values = standardiser.apply(states);
			const { axes, explained } = await principalAxes(values, model.table.columns, 2, signal);
			maps.push({
				model: model.about.name,
				explained: [explained[0]!, explained[1]!],
				fittedOn: train.length,
				points: projected(standardiser.apply(selectRows(model.table, rowsOf(model, drawn))), axes, model.table.columns),
			});
			strangers.push({
				model: model.about.name,
				distance: strangerDistance(values, model.table.columns, train, seed),
			});
		}
	}
	const readers: { task: TaskSamples; model: ReadModel; reader: (rows: readonly number[]) => Risks }[] = [];
	for (const { task, isInterval } of asked) {
		for (const model of encoders) {
			const reader = await riskReader(model, task, isInterval, level, seed, signal);
			if (reader !== undefined) readers.push({ task, model, reader });
		}
	}
	const events = await patientEvents(input, chosen);
	const patients = chosen.map((subjectId): Trajectory => {
		const dates = datesOf.get(subjectId)!;
		const { dayOf, ageAt, ...record } = events.get(subjectId)!;
		const indexDays = dates.map(({ predictionTime }) => dayOf(predictionTime));
		return {
			subjectId: String(subjectId),
			ageYears: ageAt,
			...record,
			indexDays,
			moved: encoders.flatMap((model) => {
				const standardiser = standardised.get(model);
				if (standardiser === undefined) return [];
				const values = standardiser.apply(selectRows(model.table, rowsOf(model, dates)));
				return [{ model: model.about.name, distance: steps(values, model.table.columns) }];
			}),
			risks: readers.map(({ task, model, reader }) => ({
				model: model.about.name,
				...questionOf(task),
				...reader(rowsOf(model, dates)),
			})),
			outcomes: asked.map(({ task }) => ({ ...questionOf(task), values: outcomesAt(task, dates) })),
		};
	});
	return {
		format: 'ehr-jepa/trajectories',
		version: 1,
		dataset: input.dataset.fingerprint,
		seed,
		interval: { refits, level },
		map: {
			states: heldOut.length,
			models: maps,
			outcomes: asked
				.filter(({ isInterval }) => isInterval)
				.map(({ task }) => ({ ...questionOf(task), values: outcomesAt(task, drawn) })),
		},
		strangers,
		patients,
	};
}

function rowsOf({ rowOf }: ReadModel, dates: readonly IndexDateRow[]): number[] {
	return dates.map((date) => rowOf.get(sampleKey(date))!);
}

function questionOf({ task }: TaskSamples): { readonly task: string; readonly horizonDays: number | null } {
	return { task: task.name, horizonDays: task.horizonDays };
}

/** Tasks with the most held-out positives, each with all its horizons; the longest has intervals. */
function questions(tasks: readonly TaskSamples[]): { readonly task: TaskSamples; readonly isInterval: boolean }[] {
	const positives = ({ labels }: TaskSamples) => labels.held_out.filter(({ value }) => value).length;
	const byName = grouped(
		tasks.filter(({ tooFew }) => tooFew === undefined),
		({ task }) => task.name,
	);
	const most = (group: readonly TaskSamples[]) => Math.max(...group.map(positives));
	return [...byName.values()]
		.sort((a, b) => most(b) - most(a))
		.slice(0, drawnTasks)
		.flatMap((group) => {
			const longest = Math.max(...group.map(({ task }) => task.horizonDays ?? 0));
			return group.map((task) => ({ task, isInterval: (task.task.horizonDays ?? 0) === longest }));
		});
}

function outcomesAt({ labels }: TaskSamples, dates: readonly IndexDateRow[]): (boolean | null)[] {
	const known = new Map(labels.held_out.map((label) => [sampleKey(label), label.value]));
	return dates.map((date) => known.get(sampleKey(date)) ?? null);
}

function chosenSubjects(
	named: readonly string[],
	datesOf: ReadonlyMap<bigint, readonly IndexDateRow[]>,
	all: readonly IndexDateRow[],
	count: number,
	seed: number,
): bigint[] {
	if (named.length > 0) {
		return [...new Set(named)].map((text) => {
			const subjectId = BigInt(text);
			if (datesOf.has(subjectId)) return subjectId;
			const split = all.find((date) => date.subjectId === subjectId)?.split;
			const found =
				split === undefined ? 'has no index date' : split === 'held_out' ? 'has no states' : `is in ${split}`;
			throw new ConfigError(
				`[evaluate] patient must be a held-out subject with states of every model but ${text} ${found}`,
			);
		});
	}
	const withCourse = [...datesOf].filter(([, dates]) => dates.length >= fewestDates);
	// Where nobody has a course, those with the most of one.
	const pool =
		withCourse.length >= count ? withCourse : [...datesOf].sort((a, b) => b[1].length - a[1].length).slice(0, count);
	const subjects = pool.map(([subjectId]) => subjectId).sort((a, b) => (a < b ? -1 : 1));
	return shuffled(subjects, seed, 0).slice(0, count);
}

/** In an order that the seed draws. */
function shuffled<T>(items: readonly T[], seed: number, stream: number): T[] {
	const random = new RandomStream(seed, 'trajectories', stream);
	const result = [...items];
	for (let i = result.length - 1; i > 0; i--) {
		const other = random.integer(i + 1);
		[result[i], result[other]] = [result[other]!, result[i]!];
	}
	return result;
}

/** Positions to three digits: what a drawing shows. */
function projected(values: Float32Array, axes: Float64Array, columns: number): [number, number][] {
	const points: [number, number][] = [];
	for (let start = 0; start < values.length; start += columns) {
		const at = (axis: number) => {
			let sum = 0;
			for (let i = 0; i < columns; i++) sum += values[start + i]! * axes[axis * columns + i]!;
			return Number(sum.toPrecision(4));
		};
		points.push([at(0), at(1)]);
	}
	return points;
}

function distance(values: Float32Array, columns: number, a: number, b: number): number {
	let sum = 0;
	for (let i = 0; i < columns; i++) sum += (values[a * columns + i]! - values[b * columns + i]!) ** 2;
	return Math.sqrt(sum / columns);
}

/** (rows,) distance from the row before; 0 for the first. */
function steps(values: Float32Array, columns: number): number[] {
	return Array.from({ length: values.length / columns }, (_, row) =>
		row === 0 ? 0 : distance(values, columns, row - 1, row),
	);
}

/** Mean distance of states of two different patients; 0 where there is one alone. */
function strangerDistance(values: Float32Array, columns: number, dates: readonly IndexDateRow[], seed: number): number {
	const random = new RandomStream(seed, 'trajectories', 2);
	let [sum, pairs] = [0, 0];
	for (let i = 0; i < strangerPairs; i++) {
		const [a, b] = [random.integer(dates.length), random.integer(dates.length)];
		if (dates[a]!.subjectId === dates[b]!.subjectId) continue;
		sum += distance(values, columns, a, b);
		pairs++;
	}
	return pairs === 0 ? 0 : sum / pairs;
}

export async function writeTrajectories(path: string, file: TrajectoriesFile): Promise<void> {
	await writeWhole(path, `${JSON.stringify(TrajectoriesFile.parse(file))}\n`);
}
