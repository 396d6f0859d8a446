import type { CollapseMonitors } from '../objective/collapse-monitors.js';

// Readings at the start of a run say nothing: every latent space is narrow before it is trained.
const readingsBefore = 3;

interface Sign {
	readonly name: string;
	/** What is wrong, in words, or undefined. */
	readonly describe: (now: CollapseMonitors, first: CollapseMonitors) => string | undefined;
}

const figure = (value: number) => value.toPrecision(3);

/** Signs of a latent space that is closing in. The limits are ours; healthy runs on the simulated cohort stay far from them. */
const signs: readonly Sign[] = [
	{
		name: 'targets alike',
		describe: ({ targetCosine }) =>
			targetCosine > 0.95
				? `targets of different positions have a mean cosine of ${figure(targetCosine)} (above 0.95): the target encoder gives nearly the same state for everything`
				: undefined,
	},
	{
		name: 'predictions alike',
		describe: ({ predictionStd, targetStd }) =>
			predictionStd < 0.05 * targetStd
				? `predictions vary by ${figure(predictionStd)}, targets by ${figure(targetStd)}: the predictor says the same for every patient`
				: undefined,
	},
	{
		name: 'rank lost',
		describe: ({ targetEffectiveRank }, first) =>
			targetEffectiveRank < 2 || targetEffectiveRank < 0.2 * first.targetEffectiveRank
				? `the effective rank of the targets is ${figure(targetEffectiveRank)}, at the start it was ${figure(first.targetEffectiveRank)}: states differ along few directions`
				: undefined,
	},
];

/** Tells once, in words, of each sign of collapse that two readings in a row show. It warns; it never stops a run. */
export class CollapseWatch {
	readonly #warn: (message: string) => void;
	readonly #told = new Set<string>();
	#seen = new Set<string>();
	#first: CollapseMonitors | undefined;
	#readings = 0;

	constructor(warn: (message: string) => void) {
		this.#warn = warn;
	}

	/** Reads the monitors of a step, and warns. */
	read(step: number, monitors: CollapseMonitors): void {
		for (const reason of this.#newSigns(monitors)) {
			this.#warn(
				`[collapse] step ${step}: ${reason}. Training goes on; a larger momentum or an anti-collapse term may help`,
			);
		}
	}

	/** Takes in what was read before an interruption: the run was warned of it then. */
	recall(monitors: CollapseMonitors): void {
		this.#newSigns(monitors);
	}

	/** Reasons of the signs that this reading confirms for the first time. */
	#newSigns(monitors: CollapseMonitors): string[] {
		this.#first ??= monitors;
		if (this.#readings++ < readingsBefore) return [];
		const seen = new Set<string>();
		const reasons: string[] = [];
		for (const { name, describe } of signs) {
			const reason = describe(monitors, this.#first);
			if (reason === undefined) continue;
			seen.add(name);
			if (!this.#seen.has(name) || this.#told.has(name)) continue;
			this.#told.add(name);
			reasons.push(reason);
		}
		this.#seen = seen;
		return reasons;
	}
}
