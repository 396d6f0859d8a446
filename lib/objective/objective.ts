import { z } from 'zod';
import { LatentObjective } from './latent.js';
import { NextTokenObjective } from './next-token.js';

/** What a run optimises: one or both losses; null switches one off. */
export const Objective = z
	.strictObject({
		nextToken: NextTokenObjective.nullable().prefault({}),
		latent: LatentObjective.nullable().prefault({}),
	})
	.refine((objective) => objective.nextToken !== null || objective.latent !== null, {
		message: 'must switch on nextToken, latent or both',
	});
export type Objective = z.infer<typeof Objective>;

/** Objectives with a name. `smb-structure` is the closest reading of the paper's simultaneous schedule. */
export const objectivePresets = {
	sft: { nextToken: {}, latent: null },
	'smb-structure': { nextToken: {}, latent: {} },
	jepa: { nextToken: null, latent: {} },
} as const satisfies Record<string, z.input<typeof Objective>>;
export type ObjectivePreset = keyof typeof objectivePresets;
