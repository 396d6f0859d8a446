import { nativeAddon, nativeCall } from '../native.js';
import type { Split } from '../types.js';
import { type ClassReading, tooFewClasses } from './classes/class-probe.js';
import type { ClassSamples } from './classes/class-samples.js';
import type { EvaluatedModel } from './evaluation-file.js';
import { selectRows } from './features.js';
import type { LatentTargets } from './latent-state.js';
import type { LatentReading, Reader, TaskReading } from './reading.js';
import { rowsOf, type TaskSamples } from './samples.js';
import { breslow, followUpOf, missingEvents, type SurvivalReading } from './survival/survival-probe.js';
import type { SurvivalSamples } from './survival/survival-samples.js';
import { TableReader } from './table-reader.js';

export const boostingModel: EvaluatedModel = {
	name: 'boosting',
	label: 'Boosted trees',
	kind: 'counts',
	description:
		'gradient boosting of trees (at most 300 of 31 leaves, stopped by the loss on tuning) on what "Counts and values" has',
};

/** How many trees, and how they grow: LightGBM's defaults, but for a leaf's l2 and the stopping. */
const settings = { learningRate: 0.1, trees: 300, patience: 20, leaves: 31, leafRows: 20, l2: 1, bins: 63 } as const;

/** Boosted trees that are fitted on the features of one table; what linear probes miss of them. */
export class BoostedReader extends TableReader implements Reader {
	/** @throws {NativeError} */
	async task({ labels, tooFew }: TaskSamples): Promise<TaskReading> {
		const values = (split: Split) => Float32Array.from(labels[split], ({ value }) => (value ? 1 : 0));
		const targets = values('train');
		const positives = targets.reduce((sum, value) => sum + value, 0);
		if (positives === 0 || positives === targets.length) {
			return {
				undefinedReason:
					targets.length === 0
						? 'no samples in train'
						: `one class only in train (${positives} of ${targets.length} positive)`,
			};
		}
		if (tooFew !== undefined) return { undefinedReason: tooFew };
		const rows = (split: Split) => rowsOf(this.samples, labels[split]);
		const margins = await this.#boost('logistic', rows, targets, values('tuning'));
		return { l2: null, probabilities: [...margins.map((margin) => 1 / (1 + Math.exp(-margin)))] };
	}

	/** One model for each axis. @throws {NativeError} */
	async latentState({ samples, axes }: LatentTargets): Promise<LatentReading> {
		const of = (split: Split) => samples.filter(({ sample }) => sample.split === split);
		if (of('train').length === 0 || of('held_out').length === 0)
			return { undefinedReason: `no samples in ${of('train').length === 0 ? 'train' : 'held-out'}` };
		const rows = (split: Split) =>
			rowsOf(
				this.samples,
				of(split).map(({ sample }) => sample),
			);
		const heldOut = of('held_out').length;
		const predicted = new Array<number>(heldOut * axes.length);
		for (const axis of axes.keys()) {
			const values = (split: Split) => Float32Array.from(of(split), ({ state }) => state[axis]!);
			const one = await this.#boost('squared', rows, values('train'), values('tuning'));
			for (const [row, value] of one.entries()) predicted[row * axes.length + axis] = value;
		}
		return { l2: null, predicted };
	}

	/** Trees for the logarithm of the hazard, whichever way probes read it. @throws {NativeError} */
	async survival({ labels }: SurvivalSamples): Promise<SurvivalReading> {
		const followUp = followUpOf(labels.train);
		const counts = {
			nTrainSamples: labels.train.length,
			nTrainEvents: followUp.events.reduce((sum, event) => sum + event, 0),
		};
		const undefinedReason = missingEvents(counts);
		if (undefinedReason !== undefined) return { undefinedReason, ...counts };
		const rows = (split: Split) => rowsOf(this.samples, labels[split]);
		// The sign says whether the event was seen, which 0 has none for; only the order of times counts.
		const targets = (split: Split) =>
			Float32Array.from(labels[split], ({ days, event }) => Math.max(days, 2 ** -100) * (event ? 1 : -1));
		const train = rows('train');
		const read = [...train, ...rows('held_out')];
		const scores = await this.#boost('cox', rows, targets('train'), targets('tuning'), read);
		return {
			l2: null,
			...counts,
			scores: scores.slice(train.length),
			baseline: breslow(followUp, scores.slice(0, train.length)),
		};
	}

	/** Trees for each class against all others, whose odds are scaled so that probabilities add up to one. @throws {NativeError} */
	async classes(samples: ClassSamples): Promise<ClassReading> {
		const undefinedReason = tooFewClasses(samples);
		if (undefinedReason !== undefined) return { undefinedReason };
		const { labels, classes } = samples;
		const rows = (split: Split) => rowsOf(this.samples, labels[split]);
		const logs = new Float64Array(labels.held_out.length * classes.length);
		for (const [k, name] of classes.entries()) {
			const values = (split: Split) => Float32Array.from(labels[split], ({ value }) => (value === name ? 1 : 0));
			const margins = await this.#boost('logistic', rows, values('train'), values('tuning'));
			for (const [row, margin] of margins.entries()) logs[row * classes.length + k] = logOfSigmoid(margin);
		}
		for (let row = 0; row < labels.held_out.length; row++) {
			const own = logs.subarray(row * classes.length, (row + 1) * classes.length);
			const highest = Math.max(...own);
			const sum = highest + Math.log(own.reduce((total, log) => total + Math.exp(log - highest), 0));
			for (const [k, log] of own.entries()) own[k] = log - sum;
		}
		return { l2: null, logs };
	}

	/** What trees of train, stopped by tuning, say of the held-out samples, or of other rows. */
	async #boost(
		loss: 'logistic' | 'squared' | 'cox',
		rows: (split: Split) => readonly number[],
		targets: Float32Array,
		tuningTargets: Float32Array,
		read: readonly number[] = rows('held_out'),
	): Promise<Float64Array> {
		const features = (split: Split) => selectRows(this.table, rows(split));
		const { predicted } = await nativeCall(() =>
			nativeAddon().fitBoosting({
				...settings,
				columns: this.table.columns,
				features: features('train'),
				targets,
				tuningFeatures: features('tuning'),
				tuningTargets,
				readFeatures: selectRows(this.table, read),
				loss,
			}),
		);
		return predicted;
	}
}

/** log(1 / (1 + exp(-margin))), which no margin takes to minus infinity. */
function logOfSigmoid(margin: number): number {
	return margin > 0 ? -Math.log1p(Math.exp(-margin)) : margin - Math.log1p(Math.exp(margin));
}
