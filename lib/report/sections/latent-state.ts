import type { LatentStateResult } from '../../evaluate/evaluation-file.js';
import { type Html, html, nothing } from '../html.js';
import { intervalChart } from '../interval-chart.js';
import { legend } from '../marks.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, table } from '../table.js';

/** R² below this is drawn at the edge: a probe that much worse than the mean has simply failed. */
const lowestDrawn = -0.5;

/** How well the frozen state tells the simulated patient's true one; undefined without such a cohort. */
export function latentStateSection(data: ReportData): Section | undefined {
	const rows = data.evaluation.latentState;
	if (rows.length === 0) return undefined;
	const axes = [...new Set(rows.map(({ axis }) => axis))];
	const values = rows.flatMap(({ r2 }) => [r2.value, r2.low].filter((value) => value !== null));
	const range = [Math.max(lowestDrawn, Math.floor(Math.min(0, ...values) * 10) / 10), 1] as const;
	const chart = (axis: string, i: number) =>
		intervalChart({
			id: `latent-state-${i}`,
			title: axisTitle(axis),
			valueName: 'R²',
			categoryName: 'days after the index date',
			points: rows
				.filter((row) => row.axis === axis)
				.map(({ model, horizonDays, r2 }) => ({
					category: horizonLabel(horizonDays),
					name: data.labelOf(model),
					style: data.styleOf(model),
					estimate: r2,
				})),
			range,
			reference: { value: 0, label: 'the mean alone' },
		});
	const [first, ...others] = axes.includes('all') ? ['all', ...axes.filter((axis) => axis !== 'all')] : axes;
	const body = html`<p>These patients are simulated, so the severity of each disease axis is known on every day. A ridge probe predicts it from the frozen state: R² is the share of its variance that is explained, now and later. 1 is perfect; 0 is what the mean alone achieves; below 0 is worse than the mean.${
		data.evaluation.models.some(({ kind }) => kind === 'ceiling')
			? ' The last row is no model: a particle filter that knows the equations of the simulator says what of it can be known from these records at all.'
			: ''
	}</p>
${legend(data.evaluation.models.map(({ name, label }) => ({ label, style: data.styleOf(name), kind: 'mark' })))}
<div class="pair wide"><div>${chart(first!, 0)}</div><div>${byHorizon(
		data,
		rows.filter(({ axis }) => axis === first),
		axisTitle(first!),
	)}</div></div>
${others.length === 0 ? nothing : html`<div class="charts">${others.map((axis, i) => chart(axis, i + 1))}</div>`}
${details(
	'All axes: table',
	table(
		'R² of the true latent state',
		[{ title: 'Model' }, ...['When', 'R²', 'Samples', 'Patients', 'L2'].map((title) => ({ title, numeric: true }))],
		[first!, ...others].flatMap((axis) =>
			rows
				.filter((row) => row.axis === axis)
				.map((row, i): Row => {
					const l2 =
						row.l2 === null ? html`<span class="why">no fit</span>` : html`<data value="${row.l2}">${row.l2}</data>`;
					const cells = [
						data.labelOf(row.model),
						horizonLabel(row.horizonDays),
						estimate(row.r2),
						count(row.nSamples),
						count(row.nPatients),
						l2,
					];
					return i === 0 ? { cells, group: axisTitle(axis) } : { cells };
				}),
		),
	),
)}`;
	return { id: 'latent-state', title: 'The true state of the patient', body };
}

function axisTitle(axis: string): string {
	return axis === 'all' ? 'All axes, weighted by their variance' : `Axis: ${axis}`;
}

function byHorizon(data: ReportData, rows: readonly LatentStateResult[], caption: string): Html {
	const horizons = [...new Set(rows.map(({ horizonDays }) => horizonDays))];
	const models = [...new Set(rows.map(({ model }) => model))];
	return table(
		`${caption}: R²`,
		[{ title: 'Model' }, ...horizons.map((horizon) => ({ title: horizonLabel(horizon), numeric: true }))],
		models.map((model) => ({
			cells: [
				data.labelOf(model),
				...horizons.map((horizon) => {
					const row = rows.find((one) => one.model === model && one.horizonDays === horizon);
					return row === undefined ? html`<span class="why">not evaluated</span>` : estimate(row.r2);
				}),
			],
		})),
	);
}
