import { join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../errors.js';
import { writeWhole } from '../files/whole.js';
import type { IndexDate } from '../types.js';
import { largestStandardised, type Standardiser } from './features.js';
import { ExcludedLabels, eachSplit, type ProbeInput, patientsOf, probeLevel, splitCounts } from './probe-input.js';

/** What every `probe.json` says of its samples. */
export const probedSamples = {
	features: z.strictObject({ column: z.string(), columns: z.int() }),
	samples: splitCounts,
	patients: splitCounts,
	excluded: ExcludedLabels,
	/** Rows of features that no label asks for. */
	featuresWithoutLabel: z.int(),
	bootstrap: z.strictObject({ draws: z.int(), level: z.number(), unit: z.literal('patient'), seed: z.int() }),
};

export function probedSamplesOf<T extends IndexDate>(
	{ column, draws, seed }: { readonly column: string; readonly draws: number; readonly seed: number },
	{ table, labels, excluded, featuresWithoutLabel }: ProbeInput<T>,
) {
	return {
		features: { column, columns: table.columns },
		samples: eachSplit((split) => labels[split].length),
		patients: eachSplit((split) => patientsOf(labels[split])),
		excluded,
		featuresWithoutLabel,
		bootstrap: { draws, level: probeLevel, unit: 'patient' as const, seed },
	};
}

/** How features become what the coefficients of a probe multiply: clip((x_i - mean_i) scale_i), clipped to +-`clip`. */
export const standardisedFeatures = {
	/** Chosen on tuning. */
	l2: z.number(),
	/** Standard deviations. */
	clip: z.number(),
	mean: z.array(z.number()),
	scale: z.array(z.number()),
};

export function standardisedFeaturesOf(l2: number, { mean, scale }: Standardiser) {
	return { l2, clip: largestStandardised, mean: [...mean], scale: [...scale] };
}

/** One coefficient for each feature, and an intercept. */
export const linearCoefficients = { intercept: z.number(), weight: z.array(z.number()) };

/** @param weights - (columns + 1,), the intercept last. */
export function linearCoefficientsOf(weights: Float64Array) {
	return { intercept: weights.at(-1)!, weight: [...weights.subarray(0, -1)] };
}

/** Why no probe was fitted. @param rule - What train must hold. @param found - What it holds. */
export function labelsThatFitNothing(
	place: { readonly file: string; readonly column: string },
	rule: string,
	found: string,
	{ excluded }: Pick<ProbeInput<IndexDate>, 'excluded'>,
): DataError {
	return new DataError('probe', {
		...place,
		rule: `must hold ${rule} in train, of samples that have features`,
		value: `${found}; ${excluded.withoutFeatures} labels without features, ${excluded.withoutSplit} of subjects in no split`,
		fix: 'give the features and the splits of these labels',
	});
}

export async function writeProbeFile(folder: string, file: object): Promise<void> {
	await writeWhole(join(folder, 'probe.json'), `${JSON.stringify(file, undefined, '\t')}\n`);
}
