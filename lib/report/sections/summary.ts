import { type Comparison, comparisonsOf, verdictOf } from '../comparisons.js';
import { type Html, html } from '../html.js';
import { formatCount, formatPercent, formatSignificant, listed } from '../numbers.js';
import type { ReportData, ReportRun } from '../report-data.js';

/** Comparisons that the paragraph spells out; the table has all. */
const spelledOut = 4;

/** What was done and found, in plain sentences made from the numbers. */
export function summary(data: ReportData): Html {
	const sentences = [whatWasDone(data), ...whatWasFound(data), ...nullModels(data), caution(data)];
	return html`<p class="lead">${sentences.join(' ')}</p>
<dl class="figures">${keyFigures(data).map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>
`;
}

function heldOutPatients({ evaluation }: ReportData): number {
	return [...evaluation.probes, ...evaluation.latentState].reduce(
		(most, { nPatients }) => Math.max(most, nPatients),
		0,
	);
}

/** Patients whose records trained the models, when the cohort flow says so; else those of the data set. */
function patientsText({ evaluation: { cohortFlow } }: ReportData): string {
	const trainable =
		cohortFlow.find(({ stage }) => /^trainable\b/i.test(stage)) ??
		cohortFlow.find(({ stage }) => stage === 'split train');
	if (trainable !== undefined) return ` (${formatCount(trainable.patients)} training patients)`;
	const first = cohortFlow[0];
	return first === undefined ? '' : ` (a cohort of ${formatCount(first.patients)} patients)`;
}

function whatWasDone(data: ReportData): string {
	const { evaluation, runs } = data;
	const encoders = evaluation.models.filter(({ kind }) => kind === 'encoder').map(({ label }) => label);
	const trained = encoders.length > 0 ? encoders : runs.map(({ label }) => label);
	const { held_out } = evaluation.indexDates;
	const simulated = evaluation.dataset.simulated ? 'the simulated data set' : 'the data set';
	const read =
		evaluation.probes.length + evaluation.latentState.length === 0
			? 'No probe has been fitted yet.'
			: `The frozen models were then read by linear probes at ${formatCount(held_out)} index dates of up to ${formatCount(heldOutPatients(data))} patients that were held out from the start.`;
	const subject =
		trained.length === 0
			? 'No trained encoder is compared'
			: `${listed(trained)} ${trained.length === 1 ? 'was' : 'were'} trained`;
	return `${subject} on ${simulated} “${evaluation.dataset.name}”${patientsText(data)}. ${read}`;
}

function whatWasFound(data: ReportData): string[] {
	const level = formatPercent(data.evaluation.bootstrap.level);
	const comparisons = comparisonsOf(data);
	const sentences = comparisons
		.slice(0, spelledOut)
		.flatMap((comparison) => [
			...compared(data, comparison, 'auroc', 'AUROC', 'tasks and horizons'),
			...compared(data, comparison, 'r2', 'R² of the true latent state', 'horizons'),
		]);
	if (sentences.length > 0)
		sentences.push(`A difference is stated only where its paired ${level} interval excludes 0.`);
	if (comparisons.length > spelledOut) {
		sentences.push(`${comparisons.length - spelledOut} more pairs of models are in the table of paired differences.`);
	}
	return sentences;
}

function compared(
	data: ReportData,
	{ a, b, rows }: Comparison,
	metric: 'auroc' | 'r2',
	name: string,
	over: string,
): string[] {
	const { total, better, worse, undecided, undefined: missing } = verdictOf(rows, metric);
	if (total === 0) return [];
	const [first, second] = [data.labelOf(a), data.labelOf(b)];
	const gap = missing === 0 ? '' : ` (not defined for ${missing} more)`;
	const defined = total - missing;
	if (defined === 0)
		return [`${first} and ${second} could not be compared in ${name}: it is not defined for any of ${total} ${over}.`];
	if (better + worse === 0) {
		return [
			`Between ${first} and ${second} no difference in ${name} could be shown on any of ${defined} ${over}${gap}.`,
		];
	}
	const found = [
		...(better > 0 ? [`better than ${second} on ${better}`] : []),
		...(worse > 0 ? [`${better > 0 ? 'worse' : `worse than ${second}`} on ${worse}`] : []),
	];
	const rest = undecided === 0 ? '' : `; for the other ${undecided} no difference could be shown`;
	return [`In ${name}, ${first} was ${found.join(' and ')} of ${defined} ${over}${rest}${gap}.`];
}

function nullModels({ runs }: ReportData): string[] {
	return runs.flatMap((run) => {
		const last = lastMonitored(run);
		if (last === undefined) return [];
		const side = (reference: number) => (last.loss < reference ? 'below' : 'not below');
		return [
			`${run.label} ended with a latent loss of ${formatSignificant(last.loss)} on ${last.on}, ${side(last.batchMeanLoss)} that of predicting the average patient (${formatSignificant(last.batchMeanLoss)}) and ${side(last.copyContextLoss)} that of predicting no change (${formatSignificant(last.copyContextLoss)}).`,
		];
	});
}

function lastMonitored({
	tuning,
	steps,
}: ReportRun): { loss: number; batchMeanLoss: number; copyContextLoss: number; on: string } | undefined {
	for (const [lines, on] of [
		[tuning, 'tuning patients'],
		[steps, 'its last monitored training batch'],
	] as const) {
		const last = lines.findLast(({ latentLoss, collapse }) => latentLoss !== null && collapse !== undefined);
		if (last?.collapse !== undefined && last.latentLoss !== null) {
			return {
				loss: last.latentLoss,
				batchMeanLoss: last.collapse.batchMeanLoss,
				copyContextLoss: last.collapse.copyContextLoss,
				on,
			};
		}
	}
	return undefined;
}

function caution({ evaluation }: ReportData): string {
	return evaluation.dataset.simulated
		? 'The patients are simulated: these figures say whether the method recovers known dynamics, nothing about real patients.'
		: 'These figures describe one data set and the seeds used here; they are no evidence for clinical use.';
}

function keyFigures(data: ReportData): [term: string, value: string][] {
	const { evaluation, runs } = data;
	const trained = runs.map(({ steps }) => steps.reduce((sum, { tokens }) => sum + tokens, 0));
	const readings = new Set(evaluation.probes.map(({ task, horizonDays }) => JSON.stringify([task, horizonDays]))).size;
	return [
		['Held-out patients', formatCount(heldOutPatients(data))],
		['Held-out index dates', formatCount(evaluation.indexDates.held_out)],
		['Tasks and horizons', formatCount(readings)],
		['Models compared', formatCount(evaluation.models.length)],
		...(trained.length === 0
			? []
			: [['Tokens per run, at most', formatCount(Math.max(...trained))] as [string, string]]),
		['Bootstrap resamples', formatCount(evaluation.bootstrap.draws)],
	];
}
