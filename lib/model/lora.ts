import { z } from 'zod';
import { float32Number, positiveInteger } from '../config.js';

/** The linear maps of a decoder block, under the names that PEFT's `target_modules` takes. */
export const linearMaps = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;

/**
 * Low-rank adapters over a frozen base (Hu et al. 2022): W x + alpha / rank B A dropout(x), A (rank x in) uniform, B (out x
 * rank) zero at the start. Defaults fit the 167 M trainable parameters that the paper reports for an 8B backbone (paper
 * notes 1.3).
 */
export const LoraOptions = z.strictObject({
	rank: positiveInteger.default(64),
	alpha: float32Number.positive().default(128),
	/** Of the adapters' inputs, in training alone. */
	dropout: z.number().min(0).lt(1).default(0.1),
	/** Which maps have an adapter, in every block. */
	targets: z
		.array(z.enum(linearMaps))
		.min(1)
		.refine((targets) => new Set(targets).size === targets.length, 'must name each map once')
		.default([...linearMaps]),
});
export type LoraOptions = z.infer<typeof LoraOptions>;
