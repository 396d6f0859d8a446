import { z } from 'zod';
import { type ClassReading, readClasses } from './classes/class-probe.js';
import type { ClassSamples } from './classes/class-samples.js';
import type { FeatureTable } from './features.js';
import { fitLatentProbe, type LatentTargets } from './latent-state.js';
import { fitProbe } from './probe.js';
import type { EvaluationSamples, TaskSamples } from './samples.js';
import type { SurvivalProbeKind } from './survival/survival-file.js';
import { fitSurvivalProbe, type SurvivalReading } from './survival/survival-probe.js';
import type { SurvivalSamples } from './survival/survival-samples.js';
import { TableReader } from './table-reader.js';

const undefinedReading = z.strictObject({ undefinedReason: z.string() });

export const TaskReading = z.union([
	undefinedReading,
	z.strictObject({
		/** Null where no linear probe was fitted. */
		l2: z.number().nullable(),
		/** (held-out samples,) */
		probabilities: z.array(z.number()),
	}),
]);
export type TaskReading = z.infer<typeof TaskReading>;

export const LatentReading = z.union([
	undefinedReading,
	z.strictObject({
		/** Null where no probe was fitted. */
		l2: z.number().nullable(),
		/** (held-out samples x axes) */
		predicted: z.array(z.number()),
	}),
]);
export type LatentReading = z.infer<typeof LatentReading>;

/** What the probes of one model say of the held-out samples, in the order of the tasks and of the latent horizons. */
export interface Reading {
	readonly tasks: TaskReading[];
	readonly latents: LatentReading[];
}

/** Reads the features of one model: fits on training samples, chooses on tuning, and says what it finds of held-out ones. */
export interface Reader {
	readonly table: FeatureTable;
	/** Samples that have features. */
	readonly samples: ReadonlyMap<string, number>;
	task(samples: TaskSamples): Promise<TaskReading>;
	latentState(targets: LatentTargets): Promise<LatentReading>;
	survival(samples: SurvivalSamples, kind: SurvivalProbeKind): Promise<SurvivalReading>;
	classes(samples: ClassSamples): Promise<ClassReading>;
}

/** Probes that are fitted on the frozen states of one model. */
export class ModelReader extends TableReader implements Reader {
	/** @throws {NativeError} */
	async task({ labels, tooFew }: TaskSamples): Promise<TaskReading> {
		const probe = await fitProbe(this.table, this.samples, labels);
		const undefinedReason = 'undefinedReason' in probe ? probe.undefinedReason : tooFew;
		if ('undefinedReason' in probe || undefinedReason !== undefined)
			return { undefinedReason: undefinedReason as string };
		return { l2: probe.l2, probabilities: [...probe.probabilities] };
	}

	/** @throws {NativeError} */
	survival({ labels }: SurvivalSamples, kind: SurvivalProbeKind): Promise<SurvivalReading> {
		return fitSurvivalProbe(kind, this.table, this.samples, labels);
	}

	/** @throws {NativeError} */
	classes(samples: ClassSamples): Promise<ClassReading> {
		return readClasses(this.table, this.samples, samples);
	}

	/** @throws {NativeError} */
	async latentState(targets: LatentTargets): Promise<LatentReading> {
		const probe = await fitLatentProbe(this.table, this.samples, targets);
		return 'undefinedReason' in probe ? probe : { l2: probe.l2, predicted: [...probe.predicted] };
	}

	/**
	 * Every probe.
	 *
	 * @param check - Called before each, so that it can stop the work.
	 */
	async all(samples: EvaluationSamples, check: () => void = () => {}): Promise<Reading> {
		const tasks: TaskReading[] = [];
		for (const task of samples.tasks) {
			check();
			tasks.push(await this.task(task));
		}
		const latents: LatentReading[] = [];
		for (const targets of samples.latents) {
			check();
			latents.push(await this.latentState(targets));
		}
		return { tasks, latents };
	}
}
