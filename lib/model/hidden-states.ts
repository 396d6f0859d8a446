import { z } from 'zod';
import { nonNegativeInteger } from '../config.js';
import { ConfigError } from '../errors.js';

/**
 * Which hidden states of the encoder make up a patient's state: that after the final norm, all of them one after another, or
 * those of some numbers: 0 the embedding, k the output of block k, the last one after the final norm.
 */
export const HiddenStates = z.union([z.enum(['last', 'all']), z.array(nonNegativeInteger).min(1)]);
export type HiddenStates = z.input<typeof HiddenStates>;

/**
 * The numbers of the hidden states that are asked for, ascending.
 *
 * @param depth - Blocks of the encoder.
 * @throws {ConfigError} For a number beyond the last, or out of order.
 */
export function hiddenStateNumbers(layers: HiddenStates, depth: number): Int32Array {
	if (layers === 'last') return Int32Array.of(depth);
	if (layers === 'all') return Int32Array.from({ length: depth + 1 }, (_, number) => number);
	const parsed = HiddenStates.safeParse(layers);
	const ascends =
		parsed.success && layers.every((number, i) => number <= depth && (i === 0 || number > layers[i - 1]!));
	if (ascends) return Int32Array.from(layers);
	throw new ConfigError(
		`[embed] layers must be "last", "all" or ascending numbers from 0 (the embedding) to ${depth} (after the final norm) but is ${JSON.stringify(layers)}`,
	);
}
