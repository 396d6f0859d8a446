import type { StratumResult } from '../../evaluate/evaluation-file.js';
import { type Html, html } from '../html.js';
import { modelLegend } from '../model-legend.js';
import { questionCharts, questionsOf } from '../question-charts.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, share, table } from '../table.js';

const anchored = 'days since ';
const age = 'age';

/** How early a model knows: results by days since an anchor. Undefined unless index dates have one. */
export function anchorSection(data: ReportData): Section | undefined {
	const body = divisions(data, (by) => by.startsWith(anchored));
	if (body === undefined) return undefined;
	return {
		id: 'anchor',
		title: 'Along the anchor',
		body: html`<p>The same probes, read apart at index dates so many days after an anchor, such as a diagnosis. A model that knows early is good at 0 days already. The samples of two distances are not the same patients: who died or left in between is in the first alone.</p>
${body}`,
	};
}

/** Results over calendar age. Undefined when all samples are of one age band, or no age is known. */
export function ageSection(data: ReportData): Section | undefined {
	const body = divisions(data, (by) => by === age);
	if (body === undefined) return undefined;
	return {
		id: 'age',
		title: 'Over calendar age',
		body: html`<p>The same probes, read apart by the age at the index date. The outcome's rarity changes with age, and so do averages over all ages; within a band, age itself separates patients less, so a model must know more.</p>
${body}`,
	};
}

/** Results by index rule, sex and codes. Undefined when nothing divides the samples. */
export function subgroupsSection(data: ReportData): Section | undefined {
	const body = divisions(data, (by) => !by.startsWith(anchored) && by !== age);
	if (body === undefined) return undefined;
	return {
		id: 'subgroups',
		title: 'Subgroups',
		body: html`<p>The same probes, fitted on everybody, read in parts of the held-out samples. Small parts have wide intervals; a difference of two parts may be one of their outcomes' rarity, which average precision and Brier score follow.</p>
${body}`,
	};
}

function divisions(data: ReportData, isShown: (by: string) => boolean): Html | undefined {
	const rows = data.evaluation.strata.filter(({ by }) => isShown(by));
	if (rows.length === 0) return undefined;
	return html`${modelLegend(data, rows)}
${[...new Set(rows.map(({ by }) => by))].map((by, i) =>
	division(
		data,
		by,
		rows.filter((row) => row.by === by),
		i,
	),
)}`;
}

/** What divides the samples, in words that need no knowledge of the file. */
function divisionName(by: string): string {
	if (by === 'rule') return 'rule of the index date';
	return by === 'year' ? 'year of the index date' : by;
}

function division(data: ReportData, stratum: string, rows: readonly StratumResult[], number: number): Html {
	const questions = questionsOf(data, rows);
	const by = divisionName(stratum);
	return html`<h3>By ${by}</h3>
${questionCharts(data, questions, {
	id: `stratum-${number}-${by.replaceAll(/[^a-z0-9]+/gi, '-')}`,
	axis: by,
	categoryOf: ({ group }) => group,
	isScale: false,
	none: 'No part has enough held-out patients of both outcomes.',
})}
${details(`Table: every task by ${by}`, html`${questions.map((question) => scores(data, `${question.name}, by ${by}`, question.rows))}`)}`;
}

function scores(data: ReportData, caption: string, rows: readonly StratumResult[]): Html {
	const titles = [
		'AUROC',
		'Average precision',
		'Brier score',
		'Calibration error',
		'Slope',
		'Samples',
		'Patients',
		'Positive',
		'Prevalence',
	];
	return table(
		caption,
		[{ title: 'Model' }, ...titles.map((title) => ({ title, numeric: true }))],
		[...new Set(rows.map(({ group }) => group))].flatMap((group) =>
			rows
				.filter((row) => row.group === group)
				.map((row, i): Row => {
					const cells = [
						data.labelOf(row.model),
						estimate(row.auroc),
						estimate(row.averagePrecision),
						estimate(row.brier),
						estimate(row.calibration.expectedError),
						estimate(row.calibration.slope),
						count(row.nSamples),
						count(row.nPatients),
						count(row.nPositives),
						share(row.prevalence),
					];
					return i === 0 ? { cells, group } : { cells };
				}),
		),
	);
}
