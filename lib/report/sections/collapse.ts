import type { MetricsLine } from '../../train/metrics.js';
import { curvesOf, monitor, type Pick, relativeTo } from '../curves.js';
import { html, nothing } from '../html.js';
import { type CurveSeries, type LineChart, lineChart } from '../line-chart.js';
import { legend } from '../marks.js';
import { formatCount, formatSignificant } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import type { Section } from '../section.js';
import { exact, type Row, table } from '../table.js';

/** Columns of the table; the charts below show the same numbers over time. */
const columns: readonly { readonly title: string; readonly pick: Pick }[] = [
	{ title: 'Latent loss / average patient', pick: relativeTo('batchMeanLoss') },
	{ title: 'Latent loss / no change', pick: relativeTo('copyContextLoss') },
	{ title: 'Spread, predictions', pick: monitor('predictionStd') },
	{ title: 'Spread, targets', pick: monitor('targetStd') },
	{ title: 'Cosine, predictions', pick: monitor('predictionCosine') },
	{ title: 'Cosine, targets', pick: monitor('targetCosine') },
	{ title: 'Effective rank, predictions', pick: monitor('predictionEffectiveRank') },
	{ title: 'Effective rank, targets', pick: monitor('targetEffectiveRank') },
	{ title: 'Target encoder distance', pick: monitor('targetEncoderDistance') },
];

/** Whether the latent space is alive; undefined when no run has the latent objective. */
export function collapseSection({ runs }: ReportData): Section | undefined {
	const latent = runs.filter((run) => run.latent);
	if (latent.length === 0) return undefined;
	const title = 'Is the latent space alive?';
	const watched = latent.filter(({ steps, tuning }) =>
		[...steps, ...tuning].some(({ collapse }) => collapse !== undefined),
	);
	if (watched.length === 0) {
		return {
			id: 'collapse',
			title,
			body: html`<p>The collapse monitors were switched off in these runs, so it cannot be told.</p>`,
		};
	}
	const both = (prediction: Pick, target: Pick): CurveSeries[] => [
		...curvesOf(watched, 'predictions', prediction, 'solid'),
		...curvesOf(watched, 'targets', target, 'dashed'),
	];
	const charts: readonly LineChart[] = [
		{
			id: 'relative-batch-mean',
			title: 'Latent loss against the average patient',
			reading: 'Below 1, the prediction knows something about this patient beyond the average of the batch.',
			valueName: 'ratio',
			series: curvesOf(watched, 'ratio', relativeTo('batchMeanLoss'), 'solid'),
			include: [0],
			reference: { value: 1, label: 'batch mean' },
		},
		{
			id: 'relative-copy-context',
			title: 'Latent loss against no change',
			reading: 'Below 1, the prediction is better than repeating the last state of the context: it knows dynamics.',
			valueName: 'ratio',
			series: curvesOf(watched, 'ratio', relativeTo('copyContextLoss'), 'solid'),
			include: [0],
			reference: { value: 1, label: 'copied context' },
		},
		{
			id: 'spread',
			title: 'Spread of the states',
			reading:
				'Near 0, all patients share one point: collapse. Predictions spread less than targets, because what cannot be known is averaged out.',
			valueName: 'standard deviation',
			series: both(monitor('predictionStd'), monitor('targetStd')),
			include: [0],
		},
		{
			id: 'cosine',
			title: 'Mean cosine of pairs of states',
			reading: 'Near 1, all states point the same way: collapse.',
			valueName: 'cosine',
			series: both(monitor('predictionCosine'), monitor('targetCosine')),
			include: [0],
			reference: { value: 1, label: 'collapsed' },
		},
		{
			id: 'effective-rank',
			title: 'Effective rank',
			reading: 'How many directions are in use; near 1, the states lie on a line.',
			valueName: 'dimensions',
			series: both(monitor('predictionEffectiveRank'), monitor('targetEffectiveRank')),
			include: [0],
		},
		{
			id: 'target-encoder-distance',
			title: 'Distance of the target encoder',
			reading: 'How far the slow target encoder lags behind; a steady rise means that it cannot follow.',
			valueName: 'relative distance of weights',
			series: curvesOf(watched, 'distance', monitor('targetEncoderDistance'), 'solid'),
			include: [0],
		},
	];
	const rows = watched.map(({ label, steps, tuning }): Row => {
		const seen = (lines: readonly MetricsLine[]) => lines.findLast(({ collapse }) => collapse !== undefined);
		const last = seen(tuning) ?? seen(steps)!;
		return {
			cells: [
				label,
				html`<span class="nowrap">${last.kind}, step ${formatCount(last.step)}</span>`,
				...columns.map(({ pick }) => {
					const value = pick(last);
					return value === null ? html`<span class="why">not defined</span>` : exact(value, formatSignificant(value));
				}),
			],
		};
	});
	const without = latent.filter((run) => !watched.includes(run)).map(({ label }) => label);
	const body = html`<p>A latent objective can be satisfied by mapping every patient to the same point. These monitors tell such a collapse from learning. Solid lines and filled marks are predictions (or ratios), dashed lines and hollow marks are targets; marks without a line are tuning patients.</p>
${watched.length > 1 ? legend(watched.map(({ label, style }) => ({ label, style, kind: 'mark' }))) : html`<p class="note">Run: ${watched[0]!.label}.</p>`}
<div class="charts">${charts.map(lineChart)}</div>
${table('Last reading of each run', [{ title: 'Run' }, { title: 'Read on' }, ...columns.map(({ title: name }) => ({ title: name, numeric: true }))], rows)}
${without.length === 0 ? nothing : html`<p class="note">Monitors were switched off in ${without.join(', ')}.</p>`}`;
	return { id: 'collapse', title, body };
}
