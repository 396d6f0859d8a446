import type { SurvivalResult } from '../../evaluate/survival/survival-file.js';
import { type Html, html } from '../html.js';
import { intervalChart } from '../interval-chart.js';
import { modelLegend } from '../model-legend.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, difference, estimate, modelAnd, type Row, table } from '../table.js';

/** How well risk orders patients by the time to an event. Undefined unless there are such tasks. */
export function timeToEventSection(data: ReportData): Section | undefined {
	const { timeToEvent } = data.evaluation;
	if (timeToEvent === undefined || timeToEvent.results.length === 0) return undefined;
	const { tasks, results, probe } = timeToEvent;
	const body = html`<p>${probe === 'cox' ? 'A Cox regression' : 'A regression of discrete hazards'} on the frozen state, on held-out patients. C is the share of comparable pairs in which the sample with the earlier event had the higher risk: Harrell's over all pairs, Uno's weighted by the inverse of the share still followed. AUROC at a horizon sets samples with the event by then against samples followed beyond it. 0.5 is chance. Patients who die of something else are censored at death.</p>
${modelLegend(data, results)}
${tasks.map(({ name, label, definition }, i) => {
	const rows = results.filter(({ task }) => task === name);
	return html`<section class="task"><h3>${label}</h3><p class="note">${definition}</p>
${intervalChart({
	id: `time-to-event-${i}`,
	title: `${label}: AUROC up to each horizon`,
	valueName: 'AUROC',
	categoryName: 'days after the index date',
	points: rows.flatMap(({ model, aurocs }) =>
		aurocs.map(({ horizonDays, auroc }) => ({
			category: horizonLabel(horizonDays),
			name: data.labelOf(model),
			style: data.styleOf(model),
			estimate: auroc,
		})),
	),
	range: [0, 1],
	reference: { value: 0.5, label: 'chance' },
})}
${concordances(data, label, rows)}
${details('AUROC, differences and parts', html`${horizons(data, label, rows)}${differences(data, name, label)}${parts(data, name, label)}`)}</section>
`;
})}`;
	return { id: 'time-to-event', title: 'Time to event', body };
}

function concordances(data: ReportData, label: string, rows: readonly SurvivalResult[]): Html {
	return table(
		`${label}: concordance`,
		modelAnd(
			"Harrell's C",
			"Uno's C",
			'Integrated AUROC',
			'Samples',
			'Patients',
			'Events',
			'Fitted on',
			'Fitted, events',
		),
		rows.map(
			(row): Row => ({
				cells: [
					data.labelOf(row.model),
					estimate(row.concordance),
					estimate(row.ipcwConcordance),
					estimate(row.integratedAuroc),
					...[row.nSamples, row.nPatients, row.nEvents, row.nTrainSamples, row.nTrainEvents].map(count),
				],
			}),
		),
	);
}

function horizons(data: ReportData, label: string, rows: readonly SurvivalResult[]): Html {
	const days = rows[0]?.aurocs.map(({ horizonDays }) => horizonDays) ?? [];
	return table(
		`${label}: AUROC by horizon`,
		modelAnd('AUROC', 'Events by then', 'Followed beyond'),
		days.flatMap((horizon, k) =>
			rows.map(({ model, aurocs }, i): Row => {
				const { auroc, nEvents, nBeyond } = aurocs[k]!;
				const cells = [data.labelOf(model), estimate(auroc), count(nEvents), count(nBeyond)];
				return i === 0 ? { cells, group: `Horizon: ${horizonLabel(horizon)}` } : { cells };
			}),
		),
	);
}

const metricNames = {
	concordance: "Harrell's C",
	ipcwConcordance: "Uno's C",
	integratedAuroc: 'Integrated AUROC',
} as const;

function differences(data: ReportData, task: string, label: string): Html {
	const rows = data.evaluation.timeToEvent?.differences.filter((row) => row.task === task && row.by === null) ?? [];
	return table(
		`${label}: paired differences`,
		[{ title: 'Models' }, { title: 'Metric' }, { title: 'Difference', numeric: true }],
		rows.map(
			({ a, b, metric, difference: value }): Row => ({
				cells: [`${data.labelOf(a)} - ${data.labelOf(b)}`, metricNames[metric], difference(value)],
			}),
		),
	);
}

function parts(data: ReportData, task: string, label: string): Html {
	const rows = data.evaluation.timeToEvent?.strata.filter((row) => row.task === task) ?? [];
	let last = '';
	return table(
		`${label}: parts of the samples`,
		modelAnd("Harrell's C", 'Integrated AUROC', 'Samples', 'Patients', 'Events'),
		rows.map((row): Row => {
			const group = `${row.by}: ${row.group}`;
			const cells = [
				data.labelOf(row.model),
				estimate(row.concordance),
				estimate(row.integratedAuroc),
				...[row.nSamples, row.nPatients, row.nEvents].map(count),
			];
			const heading = group === last ? {} : { group };
			last = group;
			return { cells, ...heading };
		}),
	);
}
