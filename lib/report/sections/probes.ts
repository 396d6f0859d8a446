import type { ProbeResult } from '../../evaluate/evaluation-file.js';
import { type Html, html } from '../html.js';
import { intervalChart } from '../interval-chart.js';
import { legend } from '../marks.js';
import { formatPercent, horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, table } from '../table.js';

/** Tasks that are shown at once; each further one is in a fold. */
const openTasks = 8;

/** What the frozen state tells about the future: AUROC by horizon, every task on the same scale. */
export function probesSection(data: ReportData): Section {
	const { probes, tasks, bootstrap } = data.evaluation;
	const title = 'Prediction by horizon';
	if (probes.length === 0)
		return { id: 'probes', title, body: html`<p>The evaluation holds no results of yes-or-no tasks.</p>` };
	const lowest = Math.min(
		0.4,
		...probes.flatMap(({ auroc }) => [auroc.value, auroc.low].filter((value) => value !== null)),
	);
	const range = [Math.max(0, Math.floor(lowest * 10) / 10), 1] as const;
	const body = html`<p>Area under the ROC curve (AUROC) of a logistic probe on the frozen state, on held-out patients. 0.5 is chance, 1 is perfect. Marks are estimates, whiskers and brackets their ${formatPercent(bootstrap.level)} intervals over resampled patients. Where intervals overlap widely, the data cannot tell the models apart; the paired differences below are the sharper comparison.</p>
${modelLegend(data)}
${tasks.map((task, i) => (i < openTasks ? ofTask(data, task, i, range) : details(task.label, ofTask(data, task, i, range))))}`;
	return { id: 'probes', title, body };
}

function ofTask(
	data: ReportData,
	{ name, label, definition }: ReportData['evaluation']['tasks'][number],
	i: number,
	range: readonly [low: number, high: number],
): Html {
	const rows = data.evaluation.probes.filter(({ task }) => task === name);
	if (rows.length === 0) return html`<h3>${label}</h3><p class="note">${definition}</p><p>No probe results.</p>`;
	return html`<section class="task"><h3>${label}</h3><p class="note">${definition}</p>
<div class="${pairClass(rows)}"><div>${intervalChart({
		id: `auroc-${i}`,
		title: `${label}: AUROC by horizon`,
		valueName: 'AUROC',
		categoryName: 'days after the index date',
		points: rows.map(({ model, horizonDays, auroc }) => ({
			category: horizonLabel(horizonDays),
			name: data.labelOf(model),
			style: data.styleOf(model),
			estimate: auroc,
		})),
		range,
		reference: { value: 0.5, label: 'chance' },
	})}</div><div>${byHorizon(data, `${label}: AUROC`, rows)}</div></div>
${details('Average precision, Brier score and counts', otherScores(data, label, rows))}</section>
`;
}

/** More horizons need more of the width for the table. */
function pairClass(rows: readonly ProbeResult[]): string {
	return new Set(rows.map(({ horizonDays }) => horizonDays)).size > 3 ? 'pair wide' : 'pair';
}

/** Marks of all models with what they are. */
function modelLegend(data: ReportData): Html {
	return legend(
		data.evaluation.models
			.filter(({ kind }) => kind !== 'ceiling')
			.map(({ name, label, description }) => ({ label, style: data.styleOf(name), kind: 'mark', note: description })),
	);
}

/** Models down, horizons across: short enough to stand beside the chart. */
function byHorizon(data: ReportData, caption: string, rows: readonly ProbeResult[]): Html {
	const horizons = [...new Set(rows.map(({ horizonDays }) => horizonDays))];
	const models = [...new Set(rows.map(({ model }) => model))];
	const at = (model: string, horizon: number | null) =>
		rows.find((row) => row.model === model && row.horizonDays === horizon);
	const counts = (pick: (row: ProbeResult) => number) =>
		horizons.map((horizon) => {
			// All models are read on the same samples; a file in which they are not shows it.
			const values = [...new Set(rows.filter(({ horizonDays }) => horizonDays === horizon).map(pick))].sort(
				(a, b) => a - b,
			);
			return values.map((value, i) => html`${i === 0 ? '' : ' or '}${count(value)}`);
		});
	return table(
		caption,
		[{ title: 'Model' }, ...horizons.map((horizon) => ({ title: horizonLabel(horizon), numeric: true }))],
		[
			...models.map((model): Row => {
				const cells = horizons.map((horizon) => {
					const row = at(model, horizon);
					return row === undefined ? html`<span class="why">not evaluated</span>` : estimate(row.auroc);
				});
				return { cells: [data.labelOf(model), ...cells] };
			}),
			{ cells: ['Samples', ...counts(({ nSamples }) => nSamples)], quiet: true },
			{ cells: ['Patients', ...counts(({ nPatients }) => nPatients)], quiet: true },
			{ cells: ['Positive', ...counts(({ nPositives }) => nPositives)], quiet: true },
		],
	);
}

function otherScores(data: ReportData, label: string, rows: readonly ProbeResult[]): Html {
	const horizons = [...new Set(rows.map(({ horizonDays }) => horizonDays))];
	const titles = [
		'Average precision',
		'Brier score',
		'Samples',
		'Patients',
		'Positive',
		'Fitted on',
		'Fitted, positive',
		'L2',
	];
	return table(
		`${label}: other scores. Chance is the share of positives for average precision; a lower Brier score is better.`,
		[{ title: 'Model' }, ...titles.map((title) => ({ title, numeric: true }))],
		horizons.flatMap((horizon) =>
			rows
				.filter(({ horizonDays }) => horizonDays === horizon)
				.map((row, i): Row => {
					const cells = [
						data.labelOf(row.model),
						estimate(row.averagePrecision),
						estimate(row.brier),
						count(row.nSamples),
						count(row.nPatients),
						count(row.nPositives),
						count(row.nTrainSamples),
						count(row.nTrainPositives),
						row.l2 === null ? html`<span class="why">no fit</span>` : html`<data value="${row.l2}">${row.l2}</data>`,
					];
					return i === 0 ? { cells, group: `Horizon: ${horizonLabel(horizon)}` } : { cells };
				}),
		),
	);
}
