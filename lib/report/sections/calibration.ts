import type { ProbeResult } from '../../evaluate/evaluation-file.js';
import { calibrationChart } from '../calibration-chart.js';
import { type Html, html, nothing } from '../html.js';
import { modelLegend } from '../model-legend.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, share, table } from '../table.js';

/** Curves that are drawn; the table holds every task. */
const drawnCurves = 6;

/** Whether probabilities are what they say. Undefined for an evaluation that did not measure it. */
export function calibrationSection(data: ReportData): Section | undefined {
	const rows = data.evaluation.probes.filter(({ calibration }) => calibration !== undefined);
	if (rows.length === 0) return undefined;
	const questions = [...new Map(rows.map((row) => [JSON.stringify([row.task, row.horizonDays]), row])).values()];
	const of = (question: ProbeResult) =>
		rows.filter(({ task, horizonDays }) => task === question.task && horizonDays === question.horizonDays);
	const name = ({ task, horizonDays }: ProbeResult) => `${data.taskLabel(task)}, ${horizonLabel(horizonDays)}`;
	// Where outcomes are few, the curve is a few points at its beginning.
	const drawable = questions.filter((question) => of(question).some(({ auroc }) => auroc.value !== null));
	const most = new Set(drawable.toSorted((a, b) => b.nPositives - a.nPositives).slice(0, drawnCurves));
	// In the order of tasks and horizons, as everywhere.
	const drawn = drawable.filter((question) => most.has(question));
	const body = html`<p>Share of positives among held-out samples with about the same predicted probability, in ten bins of equal width: on the dashed diagonal, predictions are what they say. A slope below 1 says that probabilities are too extreme, an intercept above 0 that risk is underestimated. The probes were not recalibrated.</p>
${modelLegend(data, rows)}
<div class="charts">${drawn.map((question, i) =>
		calibrationChart({
			id: `calibration-${i}`,
			title: `${name(question)}: calibration`,
			series: of(question)
				.filter(({ auroc }) => auroc.value !== null)
				.map(({ model, calibration }) => ({
					name: data.labelOf(model),
					style: data.styleOf(model),
					points: calibration!.curve,
				})),
		}),
	)}</div>
${drawable.length > drawn.length ? html`<p class="note">${drawn.length} of ${drawable.length} are drawn, those with the most positives; the table holds all.</p>` : nothing}
${details(
	'Table: calibration of every task',
	scores(
		data,
		questions.map((question) => [name(question), of(question)]),
	),
)}`;
	return { id: 'calibration', title: 'Calibration', body };
}

function scores(data: ReportData, questions: readonly (readonly [name: string, rows: readonly ProbeResult[]])[]): Html {
	const titles = ['Calibration error', 'Slope', 'Intercept', 'Samples', 'Patients', 'Positive', 'Prevalence'];
	return table(
		'Calibration of every task and horizon',
		[{ title: 'Model' }, ...titles.map((title) => ({ title, numeric: true }))],
		questions.flatMap(([group, rows]) =>
			rows.map((row, i): Row => {
				const { expectedError, slope, intercept } = row.calibration!;
				const cells = [
					data.labelOf(row.model),
					estimate(expectedError),
					estimate(slope),
					estimate(intercept),
					count(row.nSamples),
					count(row.nPatients),
					count(row.nPositives),
					share(row.prevalence ?? null),
				];
				return i === 0 ? { cells, group } : { cells };
			}),
		),
	);
}
