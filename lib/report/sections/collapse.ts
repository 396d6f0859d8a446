import { type CollapseMonitor, collapseMonitors, monitorCharts } from '../../objective/collapse-monitors.js';
import type { LossLine } from '../../train/metrics.js';
import { curvesOf, monitorPick } from '../curves.js';
import { html, nothing } from '../html.js';
import { type CurveSeries, type LineChart, lineChart } from '../line-chart.js';
import { legend } from '../marks.js';
import { formatCount, formatSignificant } from '../numbers.js';
import type { ReportRuns } from '../report-data.js';
import type { Section } from '../section.js';
import { exact, type Row, table } from '../table.js';

type Chart = keyof typeof monitorCharts;
const charts = Object.keys(monitorCharts) as Chart[];
const monitorsOf = (chart: Chart) =>
	(Object.keys(collapseMonitors) as CollapseMonitor[]).filter((name) => collapseMonitors[name].chart === chart);

/** Columns of the table; the charts show the same numbers over time, in the same order. */
const columns = charts.flatMap(monitorsOf).map((name) => ({
	title: collapseMonitors[name].column,
	pick: monitorPick(name),
}));

/** A chart of its monitors: dashed are those of targets. */
function chartOf(id: Chart, watched: ReportRuns['runs']): LineChart {
	return {
		...monitorCharts[id],
		id,
		series: monitorsOf(id).flatMap((name): CurveSeries[] => {
			const { line } = collapseMonitors[name];
			return curvesOf(watched, line, monitorPick(name), line === 'targets' ? 'dashed' : 'solid');
		}),
		include: [0],
	};
}

/** Whether the latent space has collapsed; undefined when no run has the latent objective. */
export function collapseSection({ runs }: ReportRuns): Section | undefined {
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
	const rows = watched.map(({ label, steps, tuning }): Row => {
		const seen = (lines: readonly LossLine[]) => lines.findLast(({ collapse }) => collapse !== undefined);
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
<div class="charts">${charts.map((id) => lineChart(chartOf(id, watched)))}</div>
${table('Last reading of each run', [{ title: 'Run' }, { title: 'Read on' }, ...columns.map(({ title: name }) => ({ title: name, numeric: true }))], rows)}
${without.length === 0 ? nothing : html`<p class="note">Monitors were switched off in ${without.join(', ')}.</p>`}`;
	return { id: 'collapse', title, body };
}
