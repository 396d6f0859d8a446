import { z } from 'zod';
import { CheckpointError } from '../errors.js';
import { readJson } from '../files/json.js';
import type { NativePredictorOptions, StorageDtype } from '../native.js';
import { Qwen3Shape } from './qwen3-config.js';

/** What a HuggingFace `config.json` says about a Qwen3 decoder. */
export interface HuggingFaceConfig {
	readonly shape: Qwen3Shape;
	readonly vocabSize: number;
	/** `model_type` at the top: `qwen3`, or the wrapper's. */
	readonly modelType: string;
	/** dtype the weights are said to be stored in; undefined when the file does not say. */
	readonly dtype: StorageDtype | undefined;
	readonly maxPositionEmbeddings: number | undefined;
	/** Row of the mask token, which our own exports record. */
	readonly maskTokenId: number | undefined;
	/** Of predictor.safetensors beside it, when our export wrote one. */
	readonly predictor: NativePredictorOptions | undefined;
	/** The whole file, for what an export keeps as it was. */
	readonly raw: Readonly<Record<string, unknown>>;
}

const count = z.int().positive();
const Predictor = z.strictObject({
	kind: z.enum(['identity', 'mlp', 'transformer']),
	width: z.int().nonnegative(),
	layers: z.int().nonnegative(),
	heads: z.int().nonnegative(),
	fromState: z.boolean(),
});
// Keys that change the mathematics; every other key is about generation or bookkeeping.
const Decoder = z.looseObject({
	model_type: z.string().optional(),
	vocab_size: count,
	hidden_size: count,
	intermediate_size: count,
	num_hidden_layers: count,
	num_attention_heads: count,
	num_key_value_heads: count,
	/** transformers' Qwen3Config takes 128 when the file has none, whatever hidden_size and heads are. */
	head_dim: count.nullish(),
	rms_norm_eps: z.number().positive(),
	rope_theta: z.number().positive().nullish(),
	/** transformers 5 spells rope_theta and rope_scaling so. */
	rope_parameters: z.looseObject({ rope_theta: z.number().positive().optional() }).nullish(),
	rope_scaling: z.unknown().optional(),
	hidden_act: z.string().default('silu'),
	attention_bias: z.boolean().default(false),
	attention_dropout: z.number().default(0),
	use_sliding_window: z.boolean().default(false),
	layer_types: z.array(z.string()).nullish(),
	tie_word_embeddings: z.boolean().optional(),
	initializer_range: z.number().positive().default(0.02),
	max_position_embeddings: count.nullish(),
	dtype: z.unknown().optional(),
	torch_dtype: z.unknown().optional(),
});
const Root = z.looseObject({
	model_type: z.string(),
	architectures: z.array(z.string()).nullish(),
	text_config: z.record(z.string(), z.unknown()).nullish(),
	tie_word_embeddings: z.boolean().optional(),
	dtype: z.unknown().optional(),
	torch_dtype: z.unknown().optional(),
	ehr_jepa: z
		.looseObject({ mask_token_id: z.int().nonnegative().nullish(), predictor: Predictor.nullish() })
		.optional(),
});

/**
 * Reads and checks a `config.json`. What this package does not compute is refused by name, never ignored.
 *
 * @throws {CheckpointError} Names the file, the key, the rule and the value.
 * @see transformers `configuration_qwen3.py`
 */
export async function readHuggingFaceConfig(file: string): Promise<HuggingFaceConfig> {
	return parseHuggingFaceConfig(await readJson(file, { scope: 'huggingface', error: CheckpointError }), file);
}

/** As {@link readHuggingFaceConfig}, of what was read. */
export function parseHuggingFaceConfig(json: unknown, file: string): HuggingFaceConfig {
	const refuse = (key: string, rule: string, found: unknown): never => {
		throw new CheckpointError(`[huggingface] ${file}: ${key} ${rule} but is ${JSON.stringify(found)}`);
	};
	const parsed = Root.safeParse(json, { reportInput: true });
	if (!parsed.success) return refuseIssue(refuse, parsed.error);
	const root = parsed.data;
	// A wrapper (a vision-language or clinical one) holds the decoder's configuration in text_config.
	const nested = root.text_config ?? undefined;
	if (nested === undefined && root.model_type !== 'qwen3') {
		refuse(
			'model_type',
			'must be qwen3, or that of a wrapper with a text_config of model_type qwen3,',
			root.model_type,
		);
	}
	const key = (name: string) => (nested === undefined ? name : `text_config.${name}`);
	const decoded = Decoder.safeParse(nested ?? root, { reportInput: true });
	if (!decoded.success) return refuseIssue((name, rule, found) => refuse(key(name), rule, found), decoded.error);
	const decoder = decoded.data;
	if (nested !== undefined && !/^qwen3(_text)?$/.test(decoder.model_type ?? '')) {
		refuse('text_config.model_type', 'must be qwen3', decoder.model_type ?? null);
	}
	const architecture = root.architectures?.find(
		(name) => nested === undefined && !/^Qwen3(ForCausalLM|Model)$/.test(name),
	);
	if (architecture !== undefined) refuse('architectures', 'must be Qwen3ForCausalLM', architecture);

	requirePlainRope(decoder, (name, rule, found) => refuse(key(name), rule, found));
	if (decoder.hidden_act !== 'silu') refuse(key('hidden_act'), 'must be silu (SwiGLU)', decoder.hidden_act);
	if (decoder.attention_bias) refuse(key('attention_bias'), 'must be false (projections have no bias here)', true);
	if (decoder.attention_dropout !== 0) refuse(key('attention_dropout'), 'must be 0', decoder.attention_dropout);
	if (decoder.use_sliding_window) refuse(key('use_sliding_window'), 'must be false (all layers attend in full)', true);
	const layerType = decoder.layer_types?.find((type) => type !== 'full_attention');
	if (layerType !== undefined) refuse(key('layer_types'), 'must all be full_attention', layerType);
	const ropeTheta = decoder.rope_theta ?? decoder.rope_parameters?.rope_theta;
	if (ropeTheta === undefined || ropeTheta === null) {
		return refuse(key('rope_theta'), 'must be given here or in rope_parameters', null);
	}
	const headDim = decoder.head_dim ?? 128;
	if (headDim % 2 !== 0) refuse(key('head_dim'), 'must be even (RoPE turns pairs)', headDim);
	if (decoder.num_attention_heads % decoder.num_key_value_heads !== 0) {
		refuse(
			key('num_key_value_heads'),
			`must divide num_attention_heads (${decoder.num_attention_heads})`,
			decoder.num_key_value_heads,
		);
	}
	return {
		shape: Qwen3Shape.parse({
			hiddenSize: decoder.hidden_size,
			intermediateSize: decoder.intermediate_size,
			numHiddenLayers: decoder.num_hidden_layers,
			numAttentionHeads: decoder.num_attention_heads,
			numKeyValueHeads: decoder.num_key_value_heads,
			headDim,
			rmsNormEps: decoder.rms_norm_eps,
			ropeTheta,
			// Absent in both: transformers' Qwen3Config says false.
			tieWordEmbeddings: decoder.tie_word_embeddings ?? root.tie_word_embeddings ?? false,
			initializerRange: decoder.initializer_range,
		}),
		vocabSize: decoder.vocab_size,
		modelType: root.model_type,
		dtype: storageDtype(decoder, root, (name, rule, found) => refuse(name, rule, found)),
		maxPositionEmbeddings: decoder.max_position_embeddings ?? undefined,
		maskTokenId: root.ehr_jepa?.mask_token_id ?? undefined,
		predictor: root.ehr_jepa?.predictor ?? undefined,
		raw: root,
	};
}

type Refuse = (key: string, rule: string, found: unknown) => never;

function refuseIssue(refuse: Refuse, error: z.ZodError): never {
	const issue = error.issues[0];
	return refuse(issue?.path.join('.') || 'the file', `must be valid (${issue?.message})`, issue?.input ?? null);
}

function requirePlainRope(decoder: z.output<typeof Decoder>, refuse: Refuse): void {
	const scaling = decoder.rope_scaling as { readonly rope_type?: unknown; readonly type?: unknown } | null | undefined;
	const types: [string, unknown][] = [
		['rope_parameters', decoder.rope_parameters?.rope_type],
		[
			'rope_scaling',
			scaling === null || scaling === undefined ? undefined : (scaling.rope_type ?? scaling.type ?? scaling),
		],
	];
	for (const [name, type] of types) {
		if (type !== undefined && type !== 'default') refuse(name, 'must be absent, null or of type "default"', type);
	}
}

function storageDtype(
	decoder: z.output<typeof Decoder>,
	root: z.output<typeof Root>,
	refuse: Refuse,
): StorageDtype | undefined {
	for (const [name, value] of [
		['dtype', decoder.dtype],
		['torch_dtype', decoder.torch_dtype],
		['dtype', root.dtype],
		['torch_dtype', root.torch_dtype],
	] as const) {
		if (value === undefined || value === null) continue;
		const spelling = String(value).replace(/^torch\./, '');
		if (spelling === 'float32' || spelling === 'float16' || spelling === 'bfloat16') return spelling;
		// `auto` is not stored by transformers, but it is written by hand and says nothing.
		if (spelling !== 'auto') refuse(name, 'must be float32, float16 or bfloat16', value);
	}
	return undefined;
}
