import type { Estimate } from '../../evaluate/evaluation-file.js';
import { intervalChart, legend } from '../charts.js';
import { formatNumber, type Html, html, table } from '../html.js';
import type { ReportData } from '../report-data.js';

export function horizonLabel(days: number | null): string {
	return days === null ? 'as labelled' : days === 0 ? 'now' : `${days} d`;
}

/** `0.712 [0.640, 0.781]`, or why there is no number. */
export function estimateCell(estimate: Estimate): Html {
	if (estimate.value === null) return html`<span class="why">undefined: ${estimate.undefinedReason}</span>`;
	const interval =
		estimate.low === null ? ' [no interval]' : ` [${formatNumber(estimate.low)}, ${formatNumber(estimate.high)}]`;
	return html`${formatNumber(estimate.value)}${interval}`;
}

export function modelLegend(data: ReportData): Html {
	return legend(data.evaluation.models.map(({ name, label }) => ({ label, style: data.styleOf(name) })));
}

export function probesSection(data: ReportData): Html {
	const { probes, tasks } = data.evaluation;
	if (probes.length === 0) return html``;
	return html`<h2>What the frozen state tells, by horizon</h2>
<p>Area under the ROC curve of a logistic probe on held-out patients: 0.5 is chance (dashed), 1 is perfect. Dots are the estimates, whiskers their 95 % patient-level bootstrap intervals. Where intervals are wide, the data cannot tell the models apart.</p>
${modelLegend(data)}
<div class="charts">${tasks.map(({ name, label }) =>
		intervalChart(
			label,
			'AUROC',
			'horizon',
			probes
				.filter(({ task }) => task === name)
				.map(({ model, horizonDays, auroc }) => ({
					category: horizonLabel(horizonDays),
					name: model,
					style: data.styleOf(model),
					value: auroc.value,
					low: auroc.low,
					high: auroc.high,
				})),
			{ reference: { y: 0.5, label: 'chance' }, range: [0.2, 1] },
		),
	)}</div>
${tasks.map(
	({ name, label, definition }) =>
		html`<details><summary>${label}: all numbers</summary><p class="note">${definition}</p>${table(
			label,
			[
				{ title: 'Model' },
				{ title: 'Horizon' },
				{ title: 'AUROC', numeric: true },
				{ title: 'Average precision', numeric: true },
				{ title: 'Brier score', numeric: true },
				{ title: 'Samples', numeric: true },
				{ title: 'Patients', numeric: true },
				{ title: 'Positive', numeric: true },
				{ title: 'L2', numeric: true },
			],
			probes
				.filter(({ task }) => task === name)
				.map((probe) => [
					data.labelOf(probe.model),
					horizonLabel(probe.horizonDays),
					estimateCell(probe.auroc),
					estimateCell(probe.averagePrecision),
					estimateCell(probe.brier),
					formatNumber(probe.nSamples),
					formatNumber(probe.nPatients),
					formatNumber(probe.nPositives),
					probe.l2 === null ? 'none' : String(probe.l2),
				]),
		)}</details>`,
)}`;
}

export function differencesSection(data: ReportData): Html {
	const { differences, tasks } = data.evaluation;
	if (differences.length === 0) return html``;
	const taskLabel = (name: string) => tasks.find((task) => task.name === name)?.label ?? 'True latent state';
	return html`<h2>Paired differences</h2>
<p>First model minus second, on the same resamples of patients. A difference is one only where the interval excludes 0 (marked).</p>
<details><summary>All ${formatNumber(differences.length)} differences</summary>${table(
		'Paired differences',
		[
			{ title: 'First' },
			{ title: 'Second' },
			{ title: 'Task' },
			{ title: 'Horizon' },
			{ title: 'Metric' },
			{ title: 'Difference', numeric: true },
			{ title: '' },
		],
		differences.map(({ a, b, task, horizonDays, metric, difference }) => [
			data.labelOf(a),
			data.labelOf(b),
			taskLabel(task),
			horizonLabel(horizonDays),
			metric === 'auroc' ? 'AUROC' : 'R²',
			estimateCell(difference),
			difference.low !== null && difference.high !== null && (difference.low > 0 || difference.high < 0)
				? difference.low > 0
					? 'first better'
					: 'second better'
				: '',
		]),
	)}</details>`;
}
