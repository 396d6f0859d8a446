import type { PairedDifference } from '../../evaluate/evaluation-file.js';
import { formatNumber, type Html, html } from '../html.js';
import type { ReportData } from '../report-data.js';

/** Only a difference whose interval excludes 0 is called one. */
function verdict(differences: readonly PairedDifference[]): { better: number; worse: number; undecided: number } {
	const result = { better: 0, worse: 0, undecided: 0 };
	for (const { difference } of differences) {
		if (difference.low !== null && difference.low > 0) result.better++;
		else if (difference.high !== null && difference.high < 0) result.worse++;
		else result.undecided++;
	}
	return result;
}

function comparison(data: ReportData, a: string, b: string): Html | undefined {
	const pairs = data.evaluation.differences.filter((row) => row.a === a && row.b === b && row.metric === 'auroc');
	if (pairs.length === 0) return undefined;
	const { better, worse, undecided } = verdict(pairs);
	const [one, other] = [data.labelOf(a), data.labelOf(b)];
	const decided =
		better + worse === 0
			? html`no difference could be shown`
			: html`${one} is better on ${better} and worse on ${worse}; for the other ${undecided} no difference could be shown`;
	return html`<li><strong>${one} against ${other}</strong>, AUROC on ${pairs.length} tasks and horizons: ${decided} (95 % paired intervals).</li>`;
}

function nullModels(data: ReportData): Html[] {
	return data.runs.flatMap((run) => {
		const last = run.tuning.findLast(({ latentLoss, collapse }) => latentLoss !== null && collapse !== undefined);
		if (last?.collapse === undefined || last.latentLoss === null) return [];
		const { batchMeanLoss, copyContextLoss } = last.collapse;
		const below = [
			last.latentLoss < batchMeanLoss ? 'below' : 'not below',
			last.latentLoss < copyContextLoss ? 'below' : 'not below',
		];
		return [
			html`<li><strong>${run.label}: latent loss ${formatNumber(last.latentLoss)}</strong> on patients it was not trained on: ${below[0]} that of predicting the batch mean (${formatNumber(batchMeanLoss)}) and ${below[1]} that of copying the last context state (${formatNumber(copyContextLoss)}).</li>`,
		];
	});
}

export function summarySection(data: ReportData): Html {
	const { evaluation, runs } = data;
	const encoders = evaluation.models.filter(({ kind }) => kind === 'encoder');
	const baselines = evaluation.models.filter(({ kind }) => kind !== 'encoder');
	const lines: (Html | undefined)[] = [];
	for (const [i, a] of encoders.entries())
		for (const b of encoders.slice(0, i)) lines.push(comparison(data, a.name, b.name));
	const last = encoders.at(-1);
	if (last !== undefined) for (const b of baselines) lines.push(comparison(data, last.name, b.name));
	const patients = evaluation.cohortFlow[0]?.patients;
	const tokens = runs.map(({ steps }) => steps.reduce((sum, step) => sum + step.tokens, 0));
	const { train, tuning, held_out } = evaluation.indexDates;
	return html`<p class="lead">${runs.map(({ label }) => label).join(' and ')} ${runs.length === 1 ? 'was' : 'were'} trained on <strong>${evaluation.dataset.name}</strong>${
		patients === undefined ? '' : html` (${formatNumber(patients)} patients)`
	}, frozen, and read by linear probes at ${formatNumber(train + tuning + held_out)} index dates. Every number below is from the ${formatNumber(held_out)} index dates of held-out patients.</p>
<ul class="lead">${lines.filter((line) => line !== undefined)}${nullModels(data)}</ul>
<dl class="figures">${[
		['Held-out index dates', formatNumber(held_out)],
		[
			'Tasks and horizons',
			formatNumber(new Set(evaluation.probes.map(({ task, horizonDays }) => `${task} ${horizonDays}`)).size),
		],
		['Tokens trained on, each run', tokens.length === 0 ? 'none' : formatNumber(Math.max(...tokens))],
		['Bootstrap resamples', formatNumber(evaluation.bootstrap.draws)],
	].map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>`;
}
