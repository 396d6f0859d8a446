import { z } from 'zod';
import { filePath, float32Number, fraction, nonNegativeInteger, positiveInteger, seed } from '../config.js';
import { ComputeDtype, machineComputeDtype } from '../model/compute-dtype.js';
import { Qwen3Shape } from '../model/qwen3-config.js';
import { adamW, clipsInTime, needsTime } from '../model/step-options.js';
import { Objective } from '../objective/objective.js';
import { InstrumentOptions } from './instruments/options.js';
import { ParallelOptions } from './parallel-options.js';
import { Trainable } from './trainable.js';

/** AdamW with two decay groups: matrices decay, norms and biases do not. */
export const OptimizerConfig = z
	.strictObject({
		/** Peak of the schedule. Ours, for small models from scratch. */
		learningRate: float32Number.positive().default(1e-3),
		...adamW,
		/** Share of the steps in which the learning rate rises from 0 linearly. */
		warmupFraction: fraction.default(0.03),
		/** The cosine ends at this share of the peak. */
		finalFraction: fraction.default(0.1),
	})
	.refine(clipsInTime, needsTime);
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

const options = z.strictObject({
	/** Initial weights, order of patients, cuts and masks all come from it. */
	seed: seed.default(1),
	model: Qwen3Shape.prefault({}),
	/** HuggingFace folder whose weights training starts from, and whose shape `model` then is; null draws them from the seed. */
	initialWeights: filePath.nullable().default(null),
	objective: Objective.prefault({}),
	trainable: Trainable.prefault({ kind: 'full' }),
	/** Budgets in tokens around the cut; whole days are kept. */
	contextTokens: positiveInteger.default(192),
	futureTokens: positiveInteger.default(96),
	/** Trunk tokens of one step, packed from several patients. */
	tokensPerStep: positiveInteger.default(4096),
	/** Batches of `tokensPerStep` tokens whose gradients make one update, the same as that of one large batch. */
	microBatches: positiveInteger.default(1),
	steps: positiveInteger.default(400),
	optimizer: OptimizerConfig.prefault({}),
	/** dtype of forward and backward and of a frozen base; by default what this machine is faster in. */
	computeDtype: ComputeDtype.default(() => machineComputeDtype().dtype),
	/**
	 * dtype of trained parameters, their moments and their EMA; 16 bytes a parameter or, with stochastic rounding, 8. With
	 * LoRA they are float32.
	 */
	parameterDtype: ComputeDtype.default('float32'),
	/** What the backward pass finds in memory: everything, the input of each block, or attention but not the MLP. */
	activationCheckpointing: z.enum(['none', 'block', 'selective']).default('none'),
	/**
	 * A run that is resumed on the same device ends with the same bits. `false` admits ways of computing on a card that may
	 * be faster and sum in any order; it changes nothing on the CPU.
	 */
	deterministic: z.boolean().default(true),
	/** How several processes train the model together; one on its own takes no notice but of `virtualShards`. */
	parallel: ParallelOptions.prefault({}),
	/** Threads of the engine; 0 takes all cores. */
	threads: nonNegativeInteger.default(0),
	/** Steps between two readings of the collapse monitors; 0 never. */
	collapseEvery: nonNegativeInteger.default(10),
	/** Steps between two evaluations on the tuning split; 0 only at the end. */
	tuningEvery: nonNegativeInteger.default(50),
	/** Batches of one evaluation on the tuning split; the same ones every time. */
	tuningBatches: positiveInteger.default(8),
	/** Loss by kind of token and R² of a known state, read on a few tuning patients; null reads nothing. */
	instruments: InstrumentOptions.nullable().prefault({}),
	/** Steps between two checkpoints; 0 only at the end. */
	checkpointEvery: nonNegativeInteger.default(100),
	/** Whether a checkpoint is a copy in memory, written while training goes on, or training waits and no memory is taken. */
	checkpointCopy: z.boolean().default(true),
	/** Newest checkpoints that are kept. */
	keepCheckpoints: positiveInteger.default(2),
	/** Checkpoints at multiples of this many steps are kept for good; 0 none. */
	keepCheckpointEvery: nonNegativeInteger.default(0),
});

/** Everything that a run depends on besides the data. Written to `config.json` of the run folder with defaults filled in. */
export const TrainConfig = options
	.refine(({ parameterDtype, trainable }) => parameterDtype === 'float32' || trainable.kind === 'full', {
		path: ['parameterDtype'],
		message: 'must be float32 with LoRA, whose adapters are small, but is bfloat16',
	})
	.refine(({ parameterDtype, optimizer }) => parameterDtype === 'float32' || optimizer.matrixUpdate === 'adamw', {
		path: ['optimizer', 'matrixUpdate'],
		message: 'must be "adamw" with bfloat16 parameters, whose rounding Muon does not know',
	})
	.refine(({ optimizer, microBatches }) => !optimizer.updateInBackward || microBatches === 1, {
		path: ['optimizer', 'updateInBackward'],
		message: 'must be off with more than one of microBatches, whose gradients are added up first',
	})
	.refine(
		({ optimizer, objective }) => !optimizer.updateInBackward || (objective.latent?.interferenceEvery ?? 0) === 0,
		{
			path: ['optimizer', 'updateInBackward'],
			message: 'must be off with interferenceEvery, which needs the gradients of both losses at once',
		},
	);
export type TrainConfig = z.infer<typeof TrainConfig>;
export type TrainConfigInput = z.input<typeof TrainConfig>;
