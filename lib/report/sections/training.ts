import type { CollapseMonitors, MetricsLine } from '../../train/metrics.js';
import { drawnPoints, legend, lineChart, type ReferenceLine, type Series } from '../charts.js';
import { formatNumber, type Html, html, table } from '../html.js';
import type { ReportData, ReportRun } from '../report-data.js';

/** Training curve and tuning marks of one number of each run. */
function curves(runs: readonly ReportRun[], value: (line: MetricsLine) => number | null | undefined): Series[] {
	return runs.flatMap((run): Series[] => {
		const points = (lines: readonly MetricsLine[]) =>
			lines.flatMap((line): [number, number][] => {
				const y = value(line);
				return y === null || y === undefined || !Number.isFinite(y) ? [] : [[line.step, y]];
			});
		return [
			{ name: `${run.label}, training`, style: run.style, points: points(run.steps), kind: 'line' },
			{ name: `${run.label}, tuning`, style: run.style, points: points(run.tuning), kind: 'marks' },
		];
	});
}

export function lossesSection({ runs }: ReportData): Html {
	if (runs.length === 0) return html``;
	const thinned = runs.some(({ steps }) => steps.length > drawnPoints);
	return html`<h2>How training went</h2>
<p>Lines are training batches, marks are fixed batches of tuning patients. Marks that rise while the line falls would mean overfitting.${
		thinned ? html` Lines are means of neighbouring steps, at most ${drawnPoints} points.` : ''
	}</p>
${legend(runs.map(({ label, style }) => ({ label, style })))}
<div class="charts">${lineChart(
		'Next-token loss',
		'nats per token',
		curves(runs, ({ nextTokenLoss }) => nextTokenLoss),
	)}${lineChart(
		'Latent loss',
		'mean squared error',
		curves(runs, ({ latentLoss }) => latentLoss),
		{ from: 0 },
	)}</div>`;
}

export function collapseSection({ runs }: ReportData): Html {
	const watched = runs.filter(({ steps, tuning }) =>
		[...steps, ...tuning].some(({ collapse }) => collapse !== undefined),
	);
	if (watched.length === 0) return html``;
	const chart = (
		title: string,
		label: string,
		pick: (monitors: CollapseMonitors, line: MetricsLine) => number | null,
		references?: readonly ReferenceLine[],
	) =>
		lineChart(
			title,
			label,
			curves(watched, (line) => (line.collapse === undefined ? null : pick(line.collapse, line))),
			{ from: 0, ...(references === undefined ? {} : { references }) },
		);
	const relative = (loss: number | null, reference: number) =>
		loss === null || reference <= 0 ? null : loss / reference;
	return html`<h2>Is the latent space alive?</h2>
<p>A latent objective can be won by mapping every patient to the same point. These monitors tell such a collapse from learning.</p>
<div class="charts">${chart('Latent loss relative to predicting the batch mean', 'ratio', (monitors, line) => relative(line.latentLoss, monitors.batchMeanLoss), [{ y: 1, label: 'no better than the mean' }])}${chart(
		'Latent loss relative to copying the last context state',
		'ratio',
		(monitors, line) => relative(line.latentLoss, monitors.copyContextLoss),
		[{ y: 1, label: 'no better than copying' }],
	)}${chart('Spread of the targets (0 is collapse)', 'standard deviation', ({ targetStd }) => targetStd)}${chart(
		'Spread of the predictions (0 is collapse)',
		'standard deviation',
		({ predictionStd }) => predictionStd,
	)}${chart('Mean cosine of targets (1 is collapse)', 'cosine', ({ targetCosine }) => targetCosine, [{ y: 1, label: 'collapsed' }])}${chart(
		'Mean cosine of predictions (1 is collapse)',
		'cosine',
		({ predictionCosine }) => predictionCosine,
		[{ y: 1, label: 'collapsed' }],
	)}${chart('Effective rank of targets', 'dimensions in use', ({ targetEffectiveRank }) => targetEffectiveRank)}${chart(
		'Effective rank of predictions',
		'dimensions in use',
		({ predictionEffectiveRank }) => predictionEffectiveRank,
	)}</div>
<p class="note">Ratios below 1 mean that the predictor knows something about this patient beyond the average patient, or beyond "nothing changes". Predictions spread less than targets, because what cannot be known is averaged out. The effective rank is the exponential of the entropy of the covariance's eigenvalues.</p>`;
}

export function costSection({ runs }: ReportData): Html {
	if (runs.length === 0) return html``;
	return html`<h2>What it cost</h2>${table(
		'Training figures',
		[
			{ title: 'Run' },
			{ title: 'Steps', numeric: true },
			{ title: 'Tokens', numeric: true },
			{ title: 'Tokens/s, median', numeric: true },
			{ title: 'Step, median ms', numeric: true },
			{ title: 'Waited for data', numeric: true },
			{ title: 'Peak memory, MiB', numeric: true },
			{ title: 'Time, s', numeric: true },
		],
		runs.map(({ label, steps }) => {
			const sum = (pick: (step: (typeof steps)[number]) => number) =>
				steps.reduce((total, step) => total + pick(step), 0);
			const time = sum(({ stepMs, waitMs }) => stepMs + waitMs);
			return [
				label,
				formatNumber(steps.at(-1)?.step ?? 0),
				formatNumber(sum(({ tokens }) => tokens)),
				formatNumber(Math.round(median(steps.map(({ tokensPerSecond }) => tokensPerSecond)))),
				formatNumber(Math.round(median(steps.map(({ stepMs }) => stepMs)))),
				time === 0 ? 'none' : `${((100 * sum(({ waitMs }) => waitMs)) / time).toFixed(1)} %`,
				formatNumber(Math.round(Math.max(0, ...steps.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20)),
				formatNumber(Math.round(time / 1000)),
			];
		}),
	)}`;
}

function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
