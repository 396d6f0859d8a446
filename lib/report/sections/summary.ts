import { type Comparison, comparisonsOf, type Verdict, verdictOf } from '../comparisons.js';
import { type Html, html, nothing } from '../html.js';
import { formatCount, formatPercent, formatSignificant, listed } from '../numbers.js';
import type { ReportData, ReportRun } from '../report-data.js';

/** Comparisons that the paragraph spells out, of encoders and against baselines; the table has all. */
const spelledOut = { encoders: 2, baselines: 3 };

/** What was done and found, in plain sentences made from the numbers: a paragraph, a list of findings, a paragraph. */
export function summary(data: ReportData): Html {
	const { findings, rule } = whatWasFound(data);
	const list =
		findings.length === 0
			? nothing
			: html`<ul class="prose lead">${findings.map((finding) => html`<li>${finding}</li>`)}</ul>\n`;
	return html`<p class="lead">${whatWasDone(data)}</p>
${list}<p class="lead">${[...rule, ...nullModels(data), caution(data)].join(' ')}</p>
<dl class="figures">${keyFigures(data).map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>
`;
}

function heldOutPatients({ evaluation }: ReportData): number {
	return results(evaluation).reduce((most, { nPatients }) => Math.max(most, nPatients), 0);
}

/** Of every kind of task. */
function results({ probes, latentState, timeToEvent, classes }: ReportData['evaluation']) {
	return [...probes, ...latentState, ...(timeToEvent?.results ?? []), ...(classes?.results ?? [])];
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
		results(evaluation).length === 0
			? 'No probe has been fitted yet.'
			: `The frozen models were read by linear probes at ${formatCount(held_out)} index dates of up to ${formatCount(heldOutPatients(data))} held-out patients.`;
	const subject =
		trained.length === 0
			? 'No trained encoder is compared'
			: `${listed(trained)} ${trained.length === 1 ? 'was' : 'were'} trained`;
	return `${subject} on ${simulated} “${evaluation.dataset.name}”${patientsText(data)}. ${read}`;
}

/** A finding for each comparison, and when one is stated. */
function whatWasFound(data: ReportData): { readonly findings: readonly string[]; readonly rule: readonly string[] } {
	const all = comparisonsOf(data);
	const encoders = all.filter((comparison) => comparison.encoders).slice(0, spelledOut.encoders);
	const subject = encoders[0]?.a ?? all[0]?.a;
	const baselines = all
		.filter((comparison) => !comparison.encoders && comparison.a === subject)
		.slice(0, spelledOut.baselines);
	const findings = [...encoders, ...baselines]
		.map((comparison) => compared(data, comparison).join(' '))
		.filter((finding) => finding !== '');
	if (findings.length === 0) return { findings, rule: [] };
	const rest = all.length - encoders.length - baselines.length;
	const level = formatPercent(data.evaluation.bootstrap.level);
	const more = rest === 1 ? 'one more pair of models is' : `${rest} more pairs of models are`;
	const table = rest === 0 ? '' : `; ${more} in the table`;
	return { findings, rule: [`A difference is stated only where its paired ${level} interval excludes 0${table}.`] };
}

/** One sentence on prediction and, in a simulated cohort, one on the true state. */
function compared(data: ReportData, { a, b, rows, encoders }: Comparison): string[] {
	const [first, second] = [data.labelOf(a), data.labelOf(b)];
	const sentences: string[] = [];
	const auroc = verdictOf(rows, 'auroc');
	if (auroc.total > 0) sentences.push(`${first} against ${second}, AUROC over tasks and horizons: ${outcome(auroc)}.`);
	const state = verdictOf(rows, 'r2');
	if (encoders && state.total > 0) sentences.push(`R² of the true state, now and later: ${outcome(state)}.`);
	return sentences;
}

/** `better in 3 of 8, no difference could be shown in 5`. */
function outcome({ total, better, worse, undecided, undefined: missing }: Verdict): string {
	const of = ` of ${total - missing}`;
	if (total === missing) return `not defined in any of ${total}`;
	const gap = missing === 0 ? '' : ` (not defined in ${missing} more)`;
	if (better + worse === 0) return `no difference could be shown in any${of}${gap}`;
	const parts = [
		...(better > 0 ? [`better in ${better}${of}`] : []),
		...(worse > 0 ? [`worse in ${worse}${of}`] : []),
		...(undecided > 0 ? [`no difference could be shown in ${undecided}`] : []),
	];
	return `${parts.join(', ')}${gap}`;
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
	const horizons = new Set(evaluation.probes.map(({ task, horizonDays }) => JSON.stringify([task, horizonDays]))).size;
	const readings = horizons + (evaluation.timeToEvent?.tasks.length ?? 0) + (evaluation.classes?.tasks.length ?? 0);
	const patients = heldOutPatients(data);
	return [
		...(patients === 0 ? [] : [['Held-out patients', formatCount(patients)] as [string, string]]),
		['Held-out index dates', formatCount(evaluation.indexDates.held_out)],
		['Tasks and horizons', formatCount(readings)],
		['Models compared', formatCount(evaluation.models.filter(({ kind }) => kind !== 'ceiling').length)],
		...(trained.length === 0
			? []
			: [['Tokens per run, at most', formatCount(Math.max(...trained))] as [string, string]]),
		['Bootstrap resamples', formatCount(evaluation.bootstrap.draws)],
	];
}
