import { formatNumber, type Html, html, table } from '../html.js';
import type { ReportData } from '../report-data.js';

export function cohortFlowSection({ evaluation }: ReportData): Html {
	return html`<h2>Who is in it</h2>
<p>What went into each stage, and what was left out and why.</p>
${table(
	'Cohort flow',
	[
		{ title: 'Stage' },
		{ title: 'Patients', numeric: true },
		{ title: 'Events', numeric: true },
		{ title: 'Tokens', numeric: true },
		{ title: 'Left out, and why' },
	],
	evaluation.cohortFlow.map(({ stage, patients, events, tokens, note }) => [
		stage,
		formatNumber(patients),
		events === undefined ? '' : formatNumber(events),
		tokens === undefined ? '' : formatNumber(tokens),
		note ?? '',
	]),
)}
<p class="note">Index dates: ${evaluation.indexDates.rule}. Train ${formatNumber(evaluation.indexDates.train)}, tuning ${formatNumber(evaluation.indexDates.tuning)}, held-out ${formatNumber(evaluation.indexDates.held_out)}.</p>`;
}

/** Nested options as dotted keys. */
export function flattened(value: unknown, prefix = ''): [key: string, value: string][] {
	if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
		return Object.entries(value).flatMap(([key, inner]) => flattened(inner, prefix === '' ? key : `${prefix}.${key}`));
	}
	return [[prefix, typeof value === 'string' ? value : JSON.stringify(value)]];
}

export function configurationSection({ runs, evaluation }: ReportData): Html {
	const keys = [...new Set(runs.flatMap(({ config }) => flattened(config).map(([key]) => key)))];
	const values = runs.map(({ config }) => new Map(flattened(config)));
	return html`<h2>Configuration and seeds</h2>
<p>Bootstrap seed ${String(evaluation.seed)}; data set fingerprint <code>${evaluation.dataset.fingerprint}</code>.</p>
${
	runs.length === 0
		? ''
		: html`<details><summary>Every option of every run</summary>${table(
				'Options with defaults filled in',
				[{ title: 'Option' }, ...runs.map(({ label }) => ({ title: label }))],
				keys.map((key) => [html`<code>${key}</code>`, ...values.map((map) => map.get(key) ?? '')]),
			)}</details>`
}
${table(
	'Models',
	[{ title: 'Model' }, { title: 'What it is' }],
	evaluation.models.map(({ label, description }) => [label, description]),
)}`;
}

export function readingSection({ evaluation }: ReportData): Html {
	return html`<h2>How to read this, and its limits</h2>
<ul>
<li>Intervals are percentile intervals over ${formatNumber(evaluation.bootstrap.draws)} resamples of patients: all index dates of a patient go together. They do not include the luck of one training seed; conclusions about methods need several seeds.</li>
<li>Many tasks and horizons are shown: among twenty intervals at 95 %, one excludes the truth by chance.</li>
<li>"Undefined" means that the held-out or training patients hold one class only. It is never a number.</li>
${
	evaluation.dataset.simulated
		? html`<li>The patients are simulated. The figures say whether the method can recover known dynamics, nothing about real patients.</li>`
		: html`<li>With few patients the intervals span much of the scale: such a run shows that the pipeline works on these records, not that a model is good.</li>`
}
<li>The method is a re-implementation from the abstract of arXiv 2601.22128, the released inference code and secondary notes. It is not an exact reproduction.</li>
</ul>`;
}
