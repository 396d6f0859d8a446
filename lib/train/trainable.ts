import { z } from 'zod';
import { ConfigError } from '../errors.js';
import { LoraOptions } from '../model/lora.js';
import type { Qwen3Shape } from '../model/qwen3-config.js';
import { weightShapes } from '../model/weight-shapes.js';

/** Which parameters of the encoder training changes. The predictor always trains. */
export const Trainable = z.discriminatedUnion('kind', [
	z.strictObject({
		kind: z.literal('full'),
		/**
		 * Weights that keep their values: patterns over HuggingFace names in which `*` stands for any characters and `?` for
		 * one, such as `model.embed_tokens.*` or `model.layers.0.*`. A tied head is frozen with the embedding.
		 */
		freeze: z.array(z.string().min(1)).default([]),
	}),
	/** Adapters over a frozen base, which is held in the compute dtype; the target encoder shares it and averages the adapters. */
	LoraOptions.extend({ kind: z.literal('lora') }),
]);
export type Trainable = z.infer<typeof Trainable>;

/** The adapters' options; null without LoRA. */
export function loraOf(trainable: Trainable): LoraOptions | null {
	if (trainable.kind === 'full') return null;
	const { kind: _, ...lora } = trainable;
	return lora;
}

/**
 * Names of the weights that the patterns freeze, in the order of the files.
 *
 * @throws {ConfigError} For a pattern that matches nothing, and when nothing is left to train.
 */
export function frozenWeights(trainable: Trainable, shape: Qwen3Shape): string[] {
	if (trainable.kind === 'lora') return [];
	const names = [...weightShapes(shape, 1).keys()];
	const frozen = new Set<string>();
	for (const pattern of trainable.freeze) {
		const expression = globExpression(pattern);
		const matched = names.filter((name) => expression.test(name));
		if (matched.length === 0) {
			throw new ConfigError(
				`[train config] trainable.freeze: every pattern must match a weight of the encoder, such as ${names[0]} or ${names[1]}, but "${pattern}" matches none of ${names.length}`,
			);
		}
		for (const name of matched) frozen.add(name);
	}
	if (frozen.size === names.length) {
		throw new ConfigError(
			`[train config] trainable.freeze must leave a weight to train but ${JSON.stringify(trainable.freeze)} match all ${names.length}`,
		);
	}
	return names.filter((name) => frozen.has(name));
}

function globExpression(pattern: string): RegExp {
	const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
	return new RegExp(`^${escaped.replace(/\*/g, '.*').replace(/\?/g, '.')}$`);
}
