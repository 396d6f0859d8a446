import { z } from 'zod';
import { positiveInteger, seed } from '../config.js';
import { smallestDraws } from '../evaluate/intervals.js';
import { HiddenStates } from '../model/hidden-states.js';
import { poolings } from '../model/pooling.js';
import { modelSizes, Qwen3Shape } from '../model/qwen3-config.js';
import type { ObjectivePreset } from '../objective/objective.js';
import { OptimizerConfig } from '../train/train-config.js';

/** What is compared: objectives by the name of their preset. */
const studyVariants = {
	sft: { label: 'SFT', description: 'next-token prediction alone' },
	'smb-structure': { label: 'Simultaneous', description: 'next-token and latent prediction from the first step' },
	curriculum: {
		label: 'Curriculum',
		description: 'next-token prediction, then latent prediction with it as an anchor',
	},
	jepa: { label: 'JEPA only', description: 'latent prediction alone' },
	rollout: {
		label: 'State rollout',
		description: 'next-token prediction and latent prediction of day ends from the state and the time ahead alone',
	},
	'llm-jepa': { label: 'LLM-JEPA', description: 'next-token prediction and two views, without a target encoder' },
	fast: { label: 'Query branch', description: 'next-token prediction and latent prediction of day ends from queries' },
} as const satisfies Record<ObjectivePreset, { readonly label: string; readonly description: string }>;
export type StudyVariant = keyof typeof studyVariants;
export const variantNames = Object.keys(studyVariants) as [StudyVariant, ...StudyVariant[]];

/** Muon at its rate, with which small models learn most from few tokens (docs/study.md). */
const StudyOptimizer = OptimizerConfig.safeExtend({
	learningRate: OptimizerConfig.shape.learningRate.prefault(3e-3),
	matrixUpdate: OptimizerConfig.shape.matrixUpdate.prefault('muon'),
});

/** What trains and reads the models that are compared. */
export const comparisonOptions = {
	variants: z
		.array(z.enum(variantNames))
		.min(1)
		.refine((names) => new Set(names).size === names.length, 'must not name a variant twice')
		.default(['sft', 'smb-structure', 'curriculum', 'jepa']),
	indexDatesPerPatient: positiveInteger.default(3),
	/** Updates of each run. */
	steps: positiveInteger.default(1000),
	/** Trunk tokens of one update. */
	tokensPerStep: positiveInteger.default(2048),
	contextTokens: positiveInteger.default(256),
	futureTokens: positiveInteger.default(128),
	model: Qwen3Shape.prefault(modelSizes.demo),
	/** Tokens that carry next-token loss, in every variant that has it. */
	nextTokenOn: z.enum(['all', 'future']).default('all'),
	/** The same for every variant. */
	optimizer: StudyOptimizer.prefault({}),
	/** How a window becomes one state. */
	pooling: z.enum(poolings).default('recent'),
	/** Which hidden states of a token make it up. */
	layers: HiddenStates.default('all'),
	/** Bootstrap resamples. */
	draws: z.int().min(smallestDraws).default(1000),
	/** Data, index dates, held-out windows and resamples; the runs have seeds of their own. */
	seed: seed.default(1),
};
const Comparison = z.strictObject(comparisonOptions);
export type ComparisonOptions = z.output<typeof Comparison>;

/** Options of a study; the defaults are those of docs/study.md. */
export const StudyOptions = z.strictObject({
	/** Seeds 1 to this many. Variants of one seed share initial weights and windows. */
	seeds: positiveInteger.default(3),
	/** Simulated patients. */
	patients: positiveInteger.default(3000),
	...comparisonOptions,
});
export type StudyOptions = z.input<typeof StudyOptions>;
export type ParsedStudyOptions = z.output<typeof StudyOptions>;

/** What the files in a study's folder depend on. The others only choose among them, so they may change. */
export function fixedOptions(options: ParsedStudyOptions): Record<string, unknown> {
	const { seeds: _seeds, variants: _variants, pooling: _pooling, layers: _layers, draws: _draws, ...fixed } = options;
	return fixed;
}

/** What is read: a trained variant, its initial weights, a baseline of counts, or what can be known. */
export interface StudyModel {
	readonly name: string;
	readonly label: string;
	readonly kind: 'encoder' | 'untrained' | 'counts' | 'ceiling';
	readonly description: string;
}

/** Every model of a study, the trained ones first. */
export function studyModels(
	options: Pick<ComparisonOptions, 'variants'>,
	baselines: readonly Omit<StudyModel, 'kind'>[],
	ceiling?: Omit<StudyModel, 'kind'>,
): StudyModel[] {
	return [
		...options.variants.map((name): StudyModel => ({ name, kind: 'encoder', ...studyVariants[name] })),
		{
			name: 'untrained',
			label: 'Untrained encoder',
			kind: 'untrained',
			description: 'the initial weights that the variants of a seed share',
		},
		...baselines.map(({ name, label, description }): StudyModel => ({ name, label, kind: 'counts', description })),
		...(ceiling === undefined
			? []
			: [{ name: ceiling.name, label: ceiling.label, kind: 'ceiling' as const, description: ceiling.description }]),
	];
}

/** Name of the way in which states are read: files of another way lie beside those of this one. */
export function readingName({ pooling, layers }: Pick<ComparisonOptions, 'pooling' | 'layers'>): string {
	return layers === 'last' ? pooling : `${pooling}-${String(layers)}`;
}
