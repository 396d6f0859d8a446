import type { StratumResult } from '../../evaluate/evaluation-file.js';
import { type Html, html, nothing } from '../html.js';
import { intervalChart } from '../interval-chart.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, share, table } from '../table.js';

/** Charts drawn of one division; the table has every task and horizon. */
const drawnTasks = 4;
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
	return html`${[...new Set(rows.map(({ by }) => by))].map((by, i) =>
		division(
			data,
			by,
			rows.filter((row) => row.by === by),
			i,
		),
	)}`;
}

function division(data: ReportData, by: string, rows: readonly StratumResult[], number: number): Html {
	const questions = [...new Map(rows.map((row) => [JSON.stringify([row.task, row.horizonDays]), row])).values()];
	const of = (question: StratumResult) =>
		rows.filter(({ task, horizonDays }) => task === question.task && horizonDays === question.horizonDays);
	const defined = (question: StratumResult) => of(question).filter(({ auroc }) => auroc.value !== null).length;
	// Those of which most can be said.
	const drawn = questions
		.filter((question) => defined(question) > 0)
		.sort((a, b) => defined(b) - defined(a))
		.slice(0, drawnTasks);
	const name = (question: StratumResult) => `${data.taskLabel(question.task)}, ${horizonLabel(question.horizonDays)}`;
	const id = by.replaceAll(/[^a-z0-9]+/gi, '-');
	return html`<h3>By ${by}</h3>
<div class="charts">${drawn.map((question, i) =>
		intervalChart({
			id: `stratum-${number}-${id}-${i}`,
			title: `${name(question)}: AUROC by ${by}`,
			valueName: 'AUROC',
			categoryName: by,
			points: of(question).map(({ model, group, auroc }) => ({
				category: group,
				name: data.labelOf(model),
				style: data.styleOf(model),
				estimate: auroc,
			})),
			range: [0, 1],
			reference: { value: 0.5, label: 'chance' },
		}),
	)}</div>
${drawn.length === 0 ? html`<p class="note">No part has enough held-out patients of both outcomes.</p>` : nothing}
${details(`Table: every task by ${by}`, html`${questions.map((question) => scores(data, `${name(question)}, by ${by}`, of(question)))}`)}`;
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
