import type { TrainingSizeResult } from '../../evaluate/evaluation-file.js';
import { type Html, html } from '../html.js';
import { modelLegend } from '../model-legend.js';
import { formatCount, formatMetric, formatPercent, formatSignificant } from '../numbers.js';
import { questionCharts, questionsOf } from '../question-charts.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { estimate, exact, type Row, table } from '../table.js';

const kinds: Readonly<
	Record<
		TrainingSizeResult['kind'],
		{ readonly title: string; readonly axis: string; readonly of: (size: number) => string }
	>
> = {
	shots: { title: 'Samples of each class', axis: 'samples of each class', of: String },
	share: {
		title: 'Share of the training patients',
		axis: 'share of the training patients',
		of: (size) => formatPercent(size, size * 100 < 1 ? 1 : 0),
	},
};

/** How much the features know before many labels are seen. Undefined unless `evaluate --training-sizes` was asked for. */
export function trainingSizesSection(data: ReportData): Section | undefined {
	const rows = data.evaluation.trainingSizes;
	if (rows.length === 0) return undefined;
	const body = html`<p>Every model fitted again on few labels and read on all held-out patients. A model whose features hold what matters is good with few; where curves of two models cross, the one needs labels that the other does not. Numbers are means over the draws of a size, and intervals resample patients and draws together. A size that train does not hold is not defined.</p>
${modelLegend(data, rows)}
${(['shots', 'share'] as const).flatMap((kind) => {
	const own = rows.filter((row) => row.kind === kind);
	return own.length === 0 ? [] : [ofKind(data, kind, own)];
})}`;
	return { id: 'training-sizes', title: 'How few labels', body };
}

function ofKind(data: ReportData, kind: TrainingSizeResult['kind'], rows: readonly TrainingSizeResult[]): Html {
	const { title, axis, of } = kinds[kind];
	const questions = questionsOf(data, rows);
	return html`<h3>${title}</h3>
${questionCharts(data, questions, {
	id: `training-size-${kind}`,
	axis,
	categoryOf: ({ size }) => of(size),
	isScale: true,
	none: 'No size has enough patients of both outcomes.',
})}
${details(
	`Table: every task by ${axis}`,
	html`${questions.map((question) => scores(`${question.name}, by ${axis}; ${heldOut(question.rows[0]!)}`, data, of, question.rows))}`,
)}`;
}

function scores(
	caption: string,
	data: ReportData,
	sizeText: (size: number) => string,
	rows: readonly TrainingSizeResult[],
): Html {
	const titles = ['AUROC', 'Deviation', 'Average precision', 'Draws', 'Fitted on', 'Positive'];
	return table(
		caption,
		[{ title: 'Model' }, ...titles.map((title) => ({ title, numeric: true }))],
		[...new Set(rows.map(({ size }) => size))].flatMap((size) =>
			rows
				.filter((row) => row.size === size)
				.map((row, i): Row => {
					const { deviation, replicates, nTrainSamples, nTrainPositives } = row;
					const cells = [
						data.labelOf(row.model),
						estimate(row.auroc),
						deviation === null ? '–' : exact(deviation, formatMetric(deviation)),
						estimate(row.averagePrecision),
						...[replicates, nTrainSamples, nTrainPositives].map((value) => exact(value, formatMean(value))),
					];
					return i === 0 ? { cells, group: sizeText(size) } : { cells };
				}),
		),
	);
}

function heldOut({ nSamples, nPatients, nPositives, prevalence }: TrainingSizeResult): string {
	const share = prevalence === null ? '' : ` (${formatPercent(prevalence, 1)})`;
	return `${formatCount(nSamples)} held-out samples of ${formatCount(nPatients)} patients, ${formatCount(nPositives)} positive${share}`;
}

/** A mean number of samples: whole where it is. */
function formatMean(value: number): string {
	return Number.isInteger(value) ? String(value) : formatSignificant(value);
}
