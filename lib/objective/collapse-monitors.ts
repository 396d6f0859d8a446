import { z } from 'zod';

/** A chart of the report; monitors of one chart share its axes. */
interface MonitorChart {
	readonly title: string;
	/** How to read it, in a sentence. */
	readonly reading: string;
	readonly valueName: string;
	readonly references?: readonly { readonly value: number; readonly label: string }[];
}

/** Charts in the order of the report. */
export const monitorCharts = {
	'relative-batch-mean': {
		title: 'Latent loss against the average patient',
		reading: 'Below 1, the prediction knows something about this patient beyond the average of the batch.',
		valueName: 'ratio',
		references: [{ value: 1, label: 'batch mean' }],
	},
	'relative-copy-context': {
		title: 'Latent loss against no change',
		reading: 'Below 1, the prediction is better than repeating the last state of the context: it knows dynamics.',
		valueName: 'ratio',
		references: [{ value: 1, label: 'copied context' }],
	},
	spread: {
		title: 'Spread of the states',
		reading:
			'Near 0, all patients share one point: collapse. Predictions spread less than targets, because what cannot be known is averaged out.',
		valueName: 'standard deviation',
	},
	cosine: {
		title: 'Mean cosine of pairs of states',
		reading: 'Near 1, all states point the same way: collapse.',
		valueName: 'cosine',
		references: [{ value: 1, label: 'collapsed' }],
	},
	'effective-rank': {
		title: 'Effective rank',
		reading: 'How many directions are in use; near 1, the states lie on a line.',
		valueName: 'dimensions',
	},
	'target-encoder-distance': {
		title: 'Distance of the target encoder',
		reading: 'How far the slow target encoder lags behind; a steady rise means that it cannot follow.',
		valueName: 'relative distance of weights',
	},
} as const satisfies Record<string, MonitorChart>;

/** How a monitor is shown. */
export interface MonitorDisplay {
	/** Title of its column in the table. */
	readonly column: string;
	readonly chart: keyof typeof monitorCharts;
	/** What its line in the chart is; `ratio` shows the latent loss divided by the monitor, which is a loss. */
	readonly line: 'predictions' | 'targets' | 'ratio' | 'distance';
	/** Title of its row in a study; null: a loss, which a study shows beside the latent loss. */
	readonly study: string | null;
}

/**
 * Monitors of the latent space over the predicted positions of one batch: they tell a learning model from a collapsed one.
 * Equations: `native/objective/README.md`. The one list of the TypeScript side: metrics, their files and the report follow it.
 */
export const collapseMonitors = {
	/** Mean over dimensions of the standard deviation over positions. */
	predictionStd: { column: 'Spread, predictions', chart: 'spread', line: 'predictions', study: 'spread, predictions' },
	targetStd: { column: 'Spread, targets', chart: 'spread', line: 'targets', study: 'spread, targets' },
	/** Mean cosine of all pairs of positions; 1 is a collapsed space. */
	predictionCosine: {
		column: 'Cosine, predictions',
		chart: 'cosine',
		line: 'predictions',
		study: 'cosine, predictions',
	},
	targetCosine: { column: 'Cosine, targets', chart: 'cosine', line: 'targets', study: 'cosine, targets' },
	/**
	 * exp(entropy of the normalised covariance eigenvalues) over at most 256 positions, evenly spaced; at most
	 * min(positions - 1, hidden size).
	 */
	predictionEffectiveRank: {
		column: 'Effective rank, predictions',
		chart: 'effective-rank',
		line: 'predictions',
		study: 'rank, predictions',
	},
	targetEffectiveRank: {
		column: 'Effective rank, targets',
		chart: 'effective-rank',
		line: 'targets',
		study: 'rank, targets',
	},
	/** Loss of a predictor that always outputs the batch mean of the targets. */
	batchMeanLoss: { column: 'Latent loss / average patient', chart: 'relative-batch-mean', line: 'ratio', study: null },
	/** Loss of a predictor that copies the target encoder's state at the last context token. */
	copyContextLoss: { column: 'Latent loss / no change', chart: 'relative-copy-context', line: 'ratio', study: null },
	/** Relative L2 distance of the target encoder's weights from the encoder's. */
	targetEncoderDistance: {
		column: 'Target encoder distance',
		chart: 'target-encoder-distance',
		line: 'distance',
		study: 'target distance',
	},
} as const satisfies Record<string, MonitorDisplay>;
export type CollapseMonitor = keyof typeof collapseMonitors;

/** One reading of all monitors. */
export type CollapseMonitors = Readonly<Record<CollapseMonitor, number>>;
export const CollapseMonitors = z.strictObject(
	Object.fromEntries(Object.keys(collapseMonitors).map((name) => [name, z.number()])) as Record<
		CollapseMonitor,
		z.ZodNumber
	>,
);
