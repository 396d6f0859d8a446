import { z } from 'zod';
import { nativeAddon } from '../native.js';

/** What is computed, trained or sent in; float16 is read and written alone. */
export const ComputeDtype = z.enum(['float32', 'bfloat16']);
export type ComputeDtype = z.infer<typeof ComputeDtype>;

/** A compute dtype and why it is the one. */
export interface ComputeDtypeChoice {
	readonly dtype: ComputeDtype;
	/** Behind the dtype and a colon. */
	readonly why: string;
}

/**
 * In what forward and backward pass are computed where nothing else is said: bfloat16 where the processor multiplies it
 * (AVX512-BF16, AMX), since it is then faster than float32; elsewhere it would be slower.
 */
export function machineComputeDtype({ multipliesBfloat16 } = nativeAddon().buildInfo()): ComputeDtypeChoice {
	return multipliesBfloat16
		? { dtype: 'bfloat16', why: 'this processor multiplies it' }
		: { dtype: 'float32', why: 'this processor has no instructions that multiply bfloat16' };
}

/** What a run that is begun here, or goes on here, computes in, for its first line. */
export function computeDtypeNote(
	dtype: ComputeDtype,
	given: 'by default' | 'as configured' | 'as the run began',
): string {
	const here = machineComputeDtype();
	if (given === 'by default') return `computing in ${dtype}: ${here.why}`;
	const slow = dtype === 'bfloat16' && here.dtype === 'float32' ? `; ${here.why}, so float32 would be faster here` : '';
	return `computing in ${dtype} ${given}${slow}`;
}
