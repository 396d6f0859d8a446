import { weightShapes } from '../model/weight-shapes.js';
import type { NativePredictorOptions } from '../native.js';
import { batchRows } from './batch-rows.js';
import { readingTokens } from './instruments/options.js';
import { predictorOptions } from './loss-options.js';
import type { TrainConfig } from './train-config.js';
import { frozenWeights } from './trainable.js';

/** Bytes of what training holds, each at its largest. They need not all be largest at once: `peak` is less than the sum. */
export interface MemoryPlan {
	readonly weights: number;
	/** EMA of the weights, or of the adapters. */
	readonly target: number;
	/** Both moments of the optimiser. */
	readonly moments: number;
	/** Predictor, its moments and gradients. */
	readonly predictor: number;
	readonly gradients: number;
	/** Weights in the compute dtype, where the parameters have another. */
	readonly casts: number;
	/** What the backward pass needs of the forward pass, and its own work. */
	readonly activations: number;
	/** Logits of a chunk of rows, and the gradient of head and embedding. */
	readonly head: number;
	/** Copy of the state while a checkpoint is written. */
	readonly checkpoint: number;
	/** Node, libtorch and what it compiles, the token store and the instruments. */
	readonly process: number;
	/** Largest resident memory of the process. */
	readonly peak: number;
}

export const bytesOf = { float32: 4, bfloat16: 2 } as const;

// Measured: Node 20 with libtorch and a small store open, after some tens of updates.
const processBytes = 450e6;
// Measured after some tens of updates: oneDNN's compiled products of bfloat16 (native/ops/linear/products.h).
const compiledBytes = 130e6;
// Measured: what the instruments keep, and what fitting their tables leaves behind.
const instrumentBytes = 100e6;
// What a context of CUDA is said to take; not measured.
const contextBytes = 1e9;
// The allocator holds up to a sixteenth more than was ever in use (docs/adr/0006), and does where batches of many sizes come and go.
const heldShare = 1 / 16;
/** Logits of a chunk of the loss head: native/ops/linear_cross_entropy. */
const chunkLogits = 64 * 2 ** 20;
/** Gradients that are on their way together: native/distributed/sections.h. */
const bucketNumbers = 2 ** 22;

/** Trained scalars and those of the largest parts; `blocks` has those of each block. */
export function counts(config: TrainConfig, vocabSize: number) {
	const { model, trainable } = config;
	const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
	const weights = [...weightShapes(model, vocabSize)].map(([name, shape]) => ({ name, shape, count: size(shape) }));
	const sum = (some: typeof weights) => some.reduce((total, { count }) => total + count, 0);
	const encoder = sum(weights);
	const block = sum(weights.filter(({ name }) => name.startsWith('model.layers.0.')));
	const embedding = model.hiddenSize * vocabSize;
	const largestOf = (some: typeof weights) => Math.max(...some.map(({ count }) => count));
	if (trainable.kind === 'lora') {
		const adapters = weights
			.filter(({ name }) => trainable.targets.some((target) => name.endsWith(`.${target}.weight`)))
			.reduce((total, { shape: [out = 0, inner = 0] }) => total + trainable.rank * (out + inner), 0);
		const block = adapters / model.numHiddenLayers;
		const blocks = Array.from({ length: model.numHiddenLayers }, () => block);
		return { encoder, block, embedding, trained: adapters, largest: block, trainsEmbedding: false, blocks };
	}
	const frozen = new Set(frozenWeights(trainable, model));
	const free = weights.filter(({ name }) => !frozen.has(name));
	const trained = sum(free);
	const head = model.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
	const blocks = new Array<number>(model.numHiddenLayers).fill(0);
	for (const { name, count } of free) {
		const number = /^model\.layers\.(\d+)\./.exec(name)?.[1];
		if (number !== undefined) blocks[Number(number)]! += count;
	}
	return { encoder, block, embedding, trained, largest: largestOf(free), trainsEmbedding: !frozen.has(head), blocks };
}

export function predictorCount({ kind, width, layers, fromState }: NativePredictorOptions, hidden: number): number {
	if (kind === 'identity') return 0;
	if (kind === 'mlp') return 2 * width * hidden + width + hidden;
	return layers * 12 * width * width + (fromState ? 3 : 4) * width * hidden;
}

/** Elements that a block keeps for the backward pass, per row: all, of attention's half, and of its input. */
function blockElements({ model }: TrainConfig) {
	const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim } = model;
	const queries = numAttentionHeads * headDim;
	const keys = numKeyValueHeads * headDim;
	// Both residuals and norms; queries and keys before and after the rotation, values, what comes out.
	const attention = 3 * hiddenSize + 3 * queries + 3 * keys;
	// Gate, up and their product.
	const mlp = hiddenSize + 3 * intermediateSize;
	return { all: attention + mlp, attention, input: hiddenSize, work: 4 * intermediateSize + 4 * hiddenSize };
}

/**
 * Bytes of the gradients of an update where shards or ranks are added up.
 *
 * @param owned - Trained scalars of one rank.
 * @param own - Bytes of one of them.
 * @returns Beside the activations, when the backward pass begins, and when it has ended.
 */
function sharedGradients(
	config: TrainConfig,
	ranks: number,
	{ trained, largest, block }: { readonly trained: number; readonly largest: number; readonly block: number },
	owned: number,
	own: number,
): { readonly first: number; readonly last: number } {
	const { parallel, microBatches, objective, optimizer } = config;
	const shards = parallel.virtualShards ?? ranks;
	const oneEach = shards === ranks && microBatches === 1 && (objective.latent?.interferenceEvery ?? 0) === 0;
	const bucket = Math.min(bucketNumbers, trained);
	// Pieces of two buckets are sent and received, and one is added up; with `ddp` its parts are gathered again. What is added up at
	// the end takes as much by measurement: its flat vector is of one piece, which fits no memory that the allocator holds.
	const travels = ranks === 1 ? 0 : (parallel.kind === 'ddp' ? 6 : 5) * bucket * bytesOf.float32;
	if (ranks > 1 && oneEach && (parallel.kind !== 'zero1' || optimizer.updateInBackward)) {
		// Of buckets that are not whole yet: each is as large as its last parameter makes it.
		const waiting = Math.min(2 * bucket + largest, trained) * own;
		const sums = optimizer.updateInBackward
			? Math.min(bucket + largest, trained)
			: parallel.kind === 'ddp'
				? trained
				: owned;
		return { first: waiting + travels, last: waiting + travels + sums * own };
	}
	// Those of a shard, and the sums of the tree over those before it, in float32.
	const sums = 1 + Math.floor(Math.log2(Math.ceil(shards / ranks)));
	return { first: block * own, last: trained * own + sums * trained * bytesOf.float32 + travels };
}

/** Of which process of a run, and where. */
export interface MemoryOptions {
	/** Processes that train it together: the plan is of one of them. */
	readonly ranks?: number | undefined;
	/** Of the largest batch (`largestFutureShare`); by default of windows that fill both budgets. */
	readonly futureShare?: number | undefined;
	/** What a card holds: checkpoints are copied to the host, and the process is there as well. */
	readonly onCard?: boolean | undefined;
}

/**
 * Memory of a training run by kind, from the configuration alone: nothing is allocated.
 *
 * @param config - Its `tokensPerStep` is what this process computes at a time.
 * @param vocabSize - Rows of the embedding.
 */
export function planMemory(
	config: TrainConfig,
	vocabSize: number,
	{ ranks = 1, futureShare, onCard = false }: MemoryOptions = {},
): MemoryPlan {
	const { parallel, model, trainable, objective, optimizer, microBatches } = config;
	const lora = trainable.kind === 'lora';
	const compute = bytesOf[config.computeDtype];
	const own = lora ? 4 : bytesOf[config.parameterDtype];
	const { encoder, block, embedding, trained, largest, trainsEmbedding, blocks } = counts(config, vocabSize);
	const spreads = ranks > 1 && parallel.kind !== 'ddp';
	const sharesEncoder = ranks > 1 && parallel.kind === 'zero3';
	// Parameters are dealt whole.
	const owned = spreads ? Math.max(trained / ranks, largest) : trained;
	const kept = lora ? owned : encoder - trained + owned;
	const rows = batchRows(config, futureShare);
	const all = rows.trunk + rows.branch;

	const here = sharesEncoder ? owned : trained;
	const weights = lora ? encoder * compute + here * own : (encoder - trained + here) * own;
	const target = kept * own;
	const moments = 2 * owned * own;
	const predictorSize = predictorCount(predictorOptions(config), model.hiddenSize);
	const predictorMoments = 2 / (spreads ? ranks : 1);
	const predictor = predictorSize * own * (predictorMoments + (objective.latent === null ? 1 : 2));
	const held = weights + target + moments + predictor;

	const differs = own !== compute;
	const copied = lora ? trained : encoder;
	// Of what ranks share out: the block that is computed, the one that is on its way, and what belongs to none.
	const outside = trained - blocks.reduce((sum, count) => sum + count, 0);
	const gathered = (outside + 2 * Math.max(...blocks)) * compute;
	const replicated = differs && !lora ? (encoder - trained) * compute : 0;
	const casts = sharesEncoder ? replicated + gathered : differs ? copied * compute : 0;
	// Ranks that keep parts of the EMA gather a copy in the compute dtype for its pass.
	const targetCopy = sharesEncoder ? replicated + gathered : differs || spreads ? copied * compute : 0;
	const targetCasts = objective.latent?.target.kind === 'ema' ? targetCopy : 0;

	const elements = blockElements(config);
	const perRow = { none: elements.all, selective: elements.attention, block: elements.input };
	const activations = all * compute * model.numHiddenLayers * perRow[config.activationCheckpointing];
	const again = config.activationCheckpointing === 'none' ? 0 : all * compute * elements.all;
	const work = again + all * compute * elements.work;

	const chunks = Math.max(1, Math.ceil(rows.scored / Math.max(1, Math.floor(chunkLogits / vocabSize))));
	const headRows = Math.ceil(rows.scored / chunks);
	const logits = headRows * vocabSize * 12;
	const headGradient = objective.nextToken !== null && trainsEmbedding ? embedding * compute : 0;
	// Of the head, of the embedding's rows, their sum, and both in the dtype of the parameters.
	const embeddingGradients = trainsEmbedding ? (model.tieWordEmbeddings ? 3 : 2) * embedding * compute : 0;
	const isAlone = ranks === 1 && (parallel.virtualShards ?? 1) === 1;
	const alone = trained * own * (microBatches > 1 ? 2 : 1);
	const gradients = !isAlone
		? sharedGradients(config, ranks, { trained, largest, block }, owned, own)
		: {
				first: block * own,
				last: optimizer.updateInBackward ? Math.max(block, trainsEmbedding ? embedding : 0) * own : alone,
			};

	const stages = [
		// The loss head, behind the forward pass.
		casts + activations + logits + headGradient,
		// The target encoder's pass.
		casts + targetCasts + activations + headGradient + rows.trunk * compute * elements.work,
		// The first block of the backward pass.
		casts + activations + work + 2 * headGradient + gradients.first,
		// The last one, and the embedding.
		casts + gradients.last + embeddingGradients + (optimizer.updateInBackward ? 0 : work),
	];
	const checkpoint = config.checkpointCopy && !onCard ? held : 0;
	// A copy is taken between two steps and written during the next ones; that of the last step has the memory of a step.
	const { checkpointEvery, steps } = config;
	const beside = checkpointEvery > 0 && checkpointEvery < steps;
	// Losses on tuning patients and the instruments read both encoders whole.
	if (sharesEncoder) stages.push(copied * compute * (objective.latent?.target.kind === 'ema' ? 2 : 1));
	const onHost =
		processBytes +
		(config.computeDtype === 'bfloat16' ? compiledBytes : 0) +
		(readingTokens(config) > 0 ? instrumentBytes : 0);
	const itself = onCard ? contextBytes : onHost;
	const live = held + (beside ? Math.max(...stages) + checkpoint : Math.max(...stages, checkpoint));
	return {
		weights,
		target,
		moments,
		predictor,
		gradients: gradients.last,
		casts: casts + targetCasts,
		activations: activations + work,
		head: Math.max(logits + headGradient, embeddingGradients),
		checkpoint,
		process: itself,
		peak: Math.round(itself + live * (1 + heldShare)),
	};
}
