import { intervalChart } from '../charts.js';
import { formatNumber, type Html, html, table } from '../html.js';
import type { ReportData } from '../report-data.js';
import { estimateCell, horizonLabel, modelLegend } from './probes.js';

export function latentStateSection(data: ReportData): Html {
	const rows = data.evaluation.latentState;
	if (rows.length === 0) return html``;
	const axes = [...new Set(rows.map(({ axis }) => axis))];
	const title = (axis: string) =>
		axis === 'all' ? 'All axes together' : `${axis[0]?.toUpperCase()}${axis.slice(1)} severity`;
	return html`<h2>The true state of the patient</h2>
<p>This cohort is simulated, so the severity of each disease axis is known on every day. A ridge probe predicts it from the frozen state: R² is the share of its variance that is explained, now and ahead; 0 is what the mean alone achieves.</p>
${modelLegend(data)}
<div class="charts">${axes.map((axis) =>
		intervalChart(
			title(axis),
			'R²',
			'time after the index date',
			rows
				.filter((row) => row.axis === axis)
				.map(({ model, horizonDays, r2 }) => ({
					category: horizonLabel(horizonDays),
					name: model,
					style: data.styleOf(model),
					value: r2.value,
					low: r2.low,
					high: r2.high,
				})),
			{ reference: { y: 0, label: 'mean' } },
		),
	)}</div>
<details><summary>All numbers</summary>${table(
		'R² of the true latent state',
		[
			{ title: 'Model' },
			{ title: 'Axis' },
			{ title: 'When' },
			{ title: 'R²', numeric: true },
			{ title: 'Samples', numeric: true },
			{ title: 'Patients', numeric: true },
			{ title: 'L2', numeric: true },
		],
		rows.map((row) => [
			data.labelOf(row.model),
			row.axis,
			horizonLabel(row.horizonDays),
			estimateCell(row.r2),
			formatNumber(row.nSamples),
			formatNumber(row.nPatients),
			row.l2 === null ? 'none' : String(row.l2),
		]),
	)}</details>`;
}
