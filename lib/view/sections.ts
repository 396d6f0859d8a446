import { curvesOf, type Pick as Reading } from '../report/curves.js';
import { type Html, html, nothing } from '../report/html.js';
import { type LineChart, lineChart } from '../report/line-chart.js';
import { legend } from '../report/marks.js';
import { formatCount, formatDuration, formatMetric, formatPercent, formatSignificant } from '../report/numbers.js';
import type { Section } from '../report/section.js';
import { collapseSection } from '../report/sections/collapse.js';
import { optionTables } from '../report/sections/configuration.js';
import { instrumentsSection } from '../report/sections/instruments.js';
import { lossesSection } from '../report/sections/losses.js';
import { exact, type Row, table } from '../report/table.js';
import type { StepMetrics } from '../train/metrics.js';
import { comparisonSection } from './comparison.js';
import type { LiveRun, RunState } from './live-run.js';

/** Places of the page in their order; what a run does not have is empty. */
export const sectionIds = ['runs', 'compare', 'losses', 'throughput', 'instruments', 'collapse', 'options'] as const;

const stateWords: Readonly<Record<RunState, string>> = {
	running: 'running',
	finished: 'finished',
	quiet: 'no new step for',
	waiting: 'no step yet',
};

/**
 * The page's parts: every run in the table, and the chosen ones drawn with the charts of the report.
 *
 * @param now - Milliseconds since 1970.
 */
export function liveSections(all: readonly LiveRun[], chosen: readonly LiveRun[], now: number): Map<string, Html> {
	const begun = chosen.filter(({ lastStep }) => lastStep !== undefined);
	const runs = begun.map(({ shown }) => shown);
	const sections: (Section | undefined)[] = [
		runsSection(all, chosen, now),
		chosen.length === 2 ? comparisonSection(chosen[0]!, chosen[1]!) : undefined,
		...(runs.length === 0
			? []
			: [lossesSection({ runs }), throughputSection(begun), instrumentsSection({ runs }), collapseSection({ runs })]),
		chosen.length === 0
			? undefined
			: { id: 'options', title: 'Options', body: optionTables(chosen.map(({ shown }) => shown)) },
	];
	const made = new Map(sections.flatMap((section) => (section === undefined ? [] : [[section.id, section] as const])));
	return new Map(
		sectionIds.map((id) => {
			const section = made.get(id);
			return [id, section === undefined ? nothing : html`<h2>${section.title}</h2>\n${section.body}`];
		}),
	);
}

function runsSection(all: readonly LiveRun[], chosen: readonly LiveRun[], now: number): Section {
	const title = 'Runs';
	if (all.length === 0)
		return {
			id: 'runs',
			title,
			body: html`<p>No run is here yet. One appears as soon as its training has begun.</p>`,
		};
	const none = html`<span class="why">–</span>`;
	const cell = <T>(value: T | undefined | null, show: (value: T) => Html | string) =>
		value === undefined || value === null ? none : show(value);
	const number = (value: number) => exact(value, formatSignificant(value));
	const rows = all.map((run): Row => {
		const { shown, lastStep, total, remainingMs } = run;
		const tuning = shown.tuning.at(-1);
		const isChosen = chosen.includes(run);
		const state = run.state(now);
		const step = lastStep?.step ?? 0;
		return {
			cells: [
				html`<a href="?run=${encodeURIComponent(run.name)}"${isChosen ? html` aria-current="true"` : nothing}>${run.name}</a>${isChosen ? ' ◂' : ''}`,
				html`<span class="nowrap">${stateWords[state]}${state === 'quiet' ? ` ${formatDuration(now - run.modified)}` : ''}</span>`,
				html`<span class="nowrap">${formatCount(step)}${total === undefined ? nothing : html` of ${formatCount(total)} (${formatPercent(step / total)})`}</span>`,
				state === 'running' ? cell(remainingMs, (ms) => html`about ${formatDuration(ms)}`) : none,
				exact(run.tokens, formatCount(run.tokens)),
				cell(run.tokensPerSecond, (rate) => exact(rate, formatCount(Math.round(rate)))),
				cell(lastStep?.nextTokenLoss, number),
				cell(lastStep?.latentLoss, number),
				cell(tuning?.nextTokenLoss, number),
				cell(tuning?.latentLoss, number),
				cell(shown.instruments.at(-1)?.state?.mean, (value) => exact(value, formatMetric(value))),
			],
		};
	});
	const columns = [
		'Step',
		'Time left',
		'Tokens',
		'Tokens per second',
		'Next-token loss',
		'Latent loss',
		'Tuning, next token',
		'Tuning, latent',
		'R² of the state',
	];
	const unreadable = all.filter((run) => run.unreadable > 0);
	const body = html`${table('Every run of this folder', [{ title: 'Run' }, { title: 'State' }, ...columns.map((name) => ({ title: name, numeric: true }))], rows)}
${chosen.length === 0 ? nothing : legend(chosen.map(({ name, style }) => ({ label: name, style, kind: 'line' })))}
${chosen.length < all.length ? html`<p class="note">${formatCount(chosen.length)} of ${formatCount(all.length)} runs are drawn below (◂).</p>` : nothing}
${unreadable.map((run) => html`<p class="note">${run.name}: ${formatCount(run.unreadable)} lines of metrics.jsonl are none of this version and were passed over.</p>`)}`;
	return { id: 'runs', title, body };
}

function throughputSection(runs: readonly LiveRun[]): Section {
	const shown = runs.map((run) => run.shown);
	const trained =
		(pick: (step: StepMetrics) => number): Reading =>
		(line) =>
			line.kind === 'train' ? pick(line) : null;
	const chart = (id: string, title: string, valueName: string, pick: (step: StepMetrics) => number): LineChart => ({
		id,
		title,
		valueName,
		// Tuning has none of these numbers.
		series: curvesOf(shown, title.toLowerCase(), trained(pick)).filter(({ kind }) => kind === 'line'),
		include: [0],
	});
	const charts = [
		chart('rate', 'Tokens per second', 'tokens per second', ({ tokensPerSecond }) => tokensPerSecond),
		chart('waiting', 'Waited for data', 'share of the step', ({ stepMs, waitMs }) =>
			stepMs + waitMs === 0 ? 0 : waitMs / (stepMs + waitMs),
		),
		chart('learning-rate', 'Learning rate', 'learning rate', ({ learningRate }) => learningRate),
		chart('gradient', 'Gradient norm', 'L2 norm before clipping', ({ gradientNorm }) => gradientNorm),
	];
	const peak = runs.map(
		({ lastStep, name }) => `${name} ${formatCount(Math.round(lastStep!.peakRssBytes / 2 ** 20))} MiB`,
	);
	return {
		id: 'throughput',
		title: 'Throughput',
		body: html`<div class="charts">${charts.map((one) => lineChart(one))}</div>
<p class="note">Peak memory so far: ${peak.join(', ')}.</p>`,
	};
}
