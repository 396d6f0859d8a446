import { z } from 'zod';
import { float32Number, ruleOf } from '../config.js';
import { CheckpointError } from '../errors.js';
import { readJson } from '../files/json.js';
import { isObject, shown } from '../found.js';
import type { NativePredictorOptions, StorageDtype } from '../native.js';
import { mostLayers, Qwen3Shape } from './qwen3-config.js';

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
	/** All keys of the decoder and of our exports as they are in the file, for what an export keeps. */
	readonly decoder: Readonly<Record<string, unknown>>;
	/** Whether the decoder's keys stand in `text_config`. */
	readonly isWrapped: boolean;
}

const count = z.int().positive();
const Predictor = z.strictObject({
	kind: z.enum(['identity', 'mlp', 'transformer']),
	width: z.int().nonnegative(),
	layers: z.int().nonnegative(),
	heads: z.int().nonnegative(),
	fromState: z.boolean(),
});
const Rope = z.looseObject({
	rope_theta: float32Number.positive().nullish(),
	rope_type: z.unknown().optional(),
	type: z.unknown().optional(),
	partial_rotary_factor: z.number().optional(),
});
// Keys that change the mathematics; every other key is about generation or bookkeeping.
const Decoder = z.looseObject({
	model_type: z.string().optional(),
	vocab_size: count,
	hidden_size: count,
	intermediate_size: count,
	num_hidden_layers: count.max(mostLayers),
	num_attention_heads: count,
	// Where the file has none, what transformers' Qwen3Config takes, whatever hidden_size and heads are.
	num_key_value_heads: count.nullable().default(32),
	head_dim: count.default(128),
	rms_norm_eps: float32Number.positive().default(1e-6),
	rope_theta: float32Number.positive().nullish(),
	/** transformers 5 spells rope_theta and rope_scaling so. */
	rope_parameters: Rope.nullish(),
	rope_scaling: Rope.nullish(),
	partial_rotary_factor: z.number().default(1),
	hidden_act: z.string().default('silu'),
	attention_bias: z.boolean().default(false),
	attention_dropout: z.number().default(0),
	use_sliding_window: z.boolean().default(false),
	layer_types: z.array(z.string()).nullish(),
	/** transformers 5 attends both ways without it. */
	is_causal: z.boolean().default(true),
	pruned_heads: z.record(z.string(), z.unknown()).nullish(),
	quantization_config: z.unknown().optional(),
	/** Name of the weight file, where transformers 5 is to read another one. */
	transformers_weights: z.unknown().optional(),
	tie_word_embeddings: z.boolean().optional(),
	initializer_range: float32Number.positive().default(0.02),
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
function parseHuggingFaceConfig(json: unknown, file: string): HuggingFaceConfig {
	const refuse = (key: string, rule: string, found: unknown): never => {
		throw new CheckpointError(`[huggingface] ${file}: ${key} ${rule} but is ${shown(found)}`);
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

	const refuseKey: Refuse = (name, rule, found) => refuse(key(name), rule, found);
	if (nested !== undefined) requireOneDecoder(root, nested, refuse);
	requirePlain(decoder, refuseKey);
	const ropeTheta = plainRopeTheta(decoder, refuseKey);
	const { head_dim: headDim } = decoder;
	if (headDim % 2 !== 0) refuse(key('head_dim'), 'must be even (RoPE turns pairs)', headDim);
	const keyValueHeads = decoder.num_key_value_heads ?? decoder.num_attention_heads;
	if (decoder.num_attention_heads % keyValueHeads !== 0) {
		refuse(
			key('num_key_value_heads'),
			`(32 where absent) must divide num_attention_heads (${decoder.num_attention_heads})`,
			keyValueHeads,
		);
	}
	return {
		shape: Qwen3Shape.parse({
			hiddenSize: decoder.hidden_size,
			intermediateSize: decoder.intermediate_size,
			numHiddenLayers: decoder.num_hidden_layers,
			numAttentionHeads: decoder.num_attention_heads,
			numKeyValueHeads: keyValueHeads,
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
		decoder:
			nested === undefined ? root : { ...nested, ...(root.ehr_jepa === undefined ? {} : { ehr_jepa: root.ehr_jepa }) },
		isWrapped: nested !== undefined,
	};
}

type Refuse = (key: string, rule: string, found: unknown) => never;

function refuseIssue(refuse: Refuse, error: z.ZodError): never {
	const issue = error.issues[0]!;
	return refuse(issue.path.join('.') || 'the file', ruleOf(issue), issue.input);
}

/** Refuses what this package does not compute. */
function requirePlain(decoder: z.output<typeof Decoder>, refuse: Refuse): void {
	if (!/^(silu|swish)$/.test(decoder.hidden_act)) refuse('hidden_act', 'must be silu (SwiGLU)', decoder.hidden_act);
	if (decoder.attention_bias) refuse('attention_bias', 'must be false (projections have no bias here)', true);
	if (decoder.attention_dropout !== 0) refuse('attention_dropout', 'must be 0', decoder.attention_dropout);
	if (decoder.use_sliding_window) refuse('use_sliding_window', 'must be false (all layers attend in full)', true);
	const layerType = decoder.layer_types?.find((type) => type !== 'full_attention');
	if (layerType !== undefined) refuse('layer_types', 'must all be full_attention', layerType);
	const layers = decoder.layer_types?.length ?? decoder.num_hidden_layers;
	if (layers !== decoder.num_hidden_layers)
		refuse('layer_types', `must name each of the num_hidden_layers (${decoder.num_hidden_layers}) layers`, layers);
	if (!decoder.is_causal) refuse('is_causal', 'must be true (tokens see those before them alone)', false);
	if (Object.keys(decoder.pruned_heads ?? {}).length > 0) refuse('pruned_heads', 'must be empty', decoder.pruned_heads);
	if (decoder.quantization_config !== undefined && decoder.quantization_config !== null)
		refuse('quantization_config', 'must be absent (weights are F32, F16 or BF16)', decoder.quantization_config);
	const file = decoder.transformers_weights ?? null;
	if (file !== null && file !== 'model.safetensors')
		refuse('transformers_weights', 'must be absent (weights are read from model.safetensors or its shards)', file);
}

/** Base of unscaled RoPE. It may stand in three places, of which different versions of transformers read different ones. */
function plainRopeTheta(decoder: z.output<typeof Decoder>, refuse: Refuse): number {
	const places: [string, number][] = [];
	if (typeof decoder.rope_theta === 'number') places.push(['rope_theta', decoder.rope_theta]);
	if (decoder.partial_rotary_factor !== 1) refuse('partial_rotary_factor', 'must be 1', decoder.partial_rotary_factor);
	for (const name of ['rope_parameters', 'rope_scaling'] as const) {
		const rope = decoder[name];
		if (rope === null || rope === undefined) continue;
		for (const type of [rope.rope_type, rope.type]) {
			if (type !== undefined && type !== 'default') refuse(name, 'must be absent, null or of type "default"', type);
		}
		const perLayer = Object.entries(rope).find(([, value]) => isObject(value));
		if (perLayer !== undefined)
			refuse(`${name}.${perLayer[0]}`, 'must be absent (RoPE is the same in all layers)', perLayer[1]);
		if ((rope.partial_rotary_factor ?? 1) !== 1)
			refuse(`${name}.partial_rotary_factor`, 'must be 1', rope.partial_rotary_factor);
		if (typeof rope.rope_theta === 'number') places.push([`${name}.rope_theta`, rope.rope_theta]);
	}
	const [first, ...others] = places;
	if (first === undefined) return refuse('rope_theta', 'must be given here or in rope_parameters', null);
	const other = others.find(([, theta]) => theta !== first[1]);
	if (other !== undefined)
		refuse(
			other[0],
			`must be equal to ${first[0]} (${first[1]}), of which versions of transformers take either,`,
			other[1],
		);
	// transformers 5 takes rope_scaling for the whole of rope_parameters, and 10,000 where what is left names none.
	const scaling = decoder.rope_scaling;
	const whole = Object.keys(scaling ?? {}).length > 0 ? scaling : decoder.rope_parameters;
	const taken = whole?.rope_theta ?? decoder.rope_theta ?? 10_000;
	if (taken !== first[1])
		refuse(
			'rope_scaling',
			`must be absent beside ${first[0]} (${first[1]}), which transformers then does not read,`,
			scaling,
		);
	return first[1];
}

/** Refuses a wrapper whose own keys and those of its `text_config` describe two decoders. */
function requireOneDecoder(
	root: z.output<typeof Root>,
	nested: Readonly<Record<string, unknown>>,
	refuse: (key: string, rule: string, found: unknown) => never,
): void {
	if (root.model_type === 'qwen3')
		refuse('text_config', 'must be absent with model_type qwen3, which does not read it,', Object.keys(nested));
	const outer: Readonly<Record<string, unknown>> = root;
	for (const name of Object.keys(Decoder.shape)) {
		if (outsideMathematics.has(name) || outer[name] === undefined || nested[name] === undefined) continue;
		if (JSON.stringify(outer[name]) !== JSON.stringify(nested[name]))
			refuse(`text_config.${name}`, `must be equal to ${name} (${JSON.stringify(outer[name])})`, nested[name]);
	}
}
const outsideMathematics = new Set([
	'model_type',
	'dtype',
	'torch_dtype',
	'initializer_range',
	'max_position_embeddings',
]);

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
