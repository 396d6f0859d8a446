import { z } from 'zod';
import { CollapseMonitors } from '../objective/collapse-monitors.js';
import { InstrumentMetrics } from './instruments/metrics.js';

/** One optimiser step: a line of `metrics.jsonl` with `kind: "train"`. */
export const StepMetrics = z.strictObject({
	kind: z.literal('train'),
	/** 1 for the first update. */
	step: z.int(),
	/** Total loss: nextTokenLoss + weight x latentLoss. */
	loss: z.number(),
	/** Mean negative log-likelihood per scored token, nats. Null in a run without this objective. */
	nextTokenLoss: z.number().nullable(),
	/** Null in a run without the latent objective. */
	latentLoss: z.number().nullable(),
	learningRate: z.number(),
	/** Weighted sum of the anti-collapse terms, part of the total with the latent loss's weight; absent without. */
	regulariser: z.number().optional(),
	/** Cosine of the gradients of both losses over the encoder; below 0 they pull apart. Absent when it was not read. */
	interference: z.number().optional(),
	/** EMA decay of the target encoder used at this step. Null without a target that moves, or before the latent stage. */
	momentum: z.number().nullable(),
	/** Global L2 norm before clipping. */
	gradientNorm: z.number(),
	/** Trunk tokens in the batch: padding does not exist, masked copies are not counted. */
	tokens: z.int(),
	tokensPerSecond: z.number(),
	stepMs: z.number(),
	/** How long the step waited for its batch. */
	waitMs: z.number(),
	/** How long the step waited for a checkpoint's copy in memory; absent when none was made. */
	checkpointMs: z.number().optional(),
	peakRssBytes: z.number(),
	collapse: CollapseMonitors.optional(),
});
export type StepMetrics = z.infer<typeof StepMetrics>;

/** Losses on patients that are not trained on: a line of `metrics.jsonl` with `kind: "tuning"`. */
export const TuningMetrics = z.strictObject({
	kind: z.literal('tuning'),
	step: z.int(),
	nextTokenLoss: z.number().nullable(),
	latentLoss: z.number().nullable(),
	tokens: z.int(),
	collapse: CollapseMonitors.optional(),
});
export type TuningMetrics = z.infer<typeof TuningMetrics>;

/** A line with the losses of training or tuning batches. */
export type LossLine = StepMetrics | TuningMetrics;

export const MetricsLine = z.discriminatedUnion('kind', [StepMetrics, TuningMetrics, InstrumentMetrics]);
export type MetricsLine = z.infer<typeof MetricsLine>;
