import type { Estimate } from '../../evaluate/evaluation-file.js';
import { type Comparison, comparisonsOf } from '../comparisons.js';
import { type ForestRow, forestChart, shownSign } from '../forest-chart.js';
import { type Html, html, nothing } from '../html.js';
import { formatCount, formatPercent, horizonLabel } from '../numbers.js';
import type { ReportData } from '../report-data.js';
import { details, type Section } from '../section.js';
import { difference, type Row, table } from '../table.js';

/** Pairs that are drawn; every pair is in a table. */
const drawnPairs = 4;
/** Rows of a chart; where there would be more, it holds the longest horizon of each task. */
const drawnRows = 30;

const metricLabels = {
	auroc: 'AUROC',
	averagePrecision: 'average precision',
	brier: 'Brier score (lower is better)',
	expectedCalibrationError: 'calibration error (lower is better)',
	r2: 'R²',
} as const;
const isLowerBetter: ReadonlySet<string> = new Set(['brier', 'expectedCalibrationError']);
/** Drawn; the others are in the tables. */
const drawnMetrics: ReadonlySet<string> = new Set(['auroc', 'r2']);

/** Differences of two models on the same resamples of patients. */
export function differencesSection(data: ReportData): Section {
	const title = 'Paired differences';
	const comparisons = comparisonsOf(data);
	if (comparisons.length === 0)
		return { id: 'differences', title, body: html`<p>The evaluation holds no paired differences.</p>` };
	const charts = comparisons
		.slice(0, drawnPairs)
		.map((comparison, i) => ({ id: `difference-${i}`, comparison, rows: forestRows(data, comparison) }));
	const isShort = charts.some(({ comparison, rows }) => rows.length < drawable(comparison).length);
	const body = html`<p>Score of one model minus that of another on the same ${formatCount(data.evaluation.bootstrap.draws)} resamples of patients, which removes what both find easy or hard. Filled marks: the ${formatPercent(data.evaluation.bootstrap.level)} interval excludes 0, a difference was shown. Hollow marks: no difference could be shown, which does not mean that there is none.</p>
<div class="charts">${charts.map(({ id, comparison, rows }) =>
		forestChart({
			id,
			title: pairTitle(data, comparison),
			rows,
			sides: [`${data.labelOf(comparison.b)} better`, `${data.labelOf(comparison.a)} better`],
		}),
	)}</div>
${isShort ? html`<p class="note">Drawn are the longest horizons of each task; the tables hold all.</p>` : nothing}
${comparisons.length > drawnPairs ? html`<p class="note">${drawnPairs} of ${comparisons.length} pairs are drawn; the tables hold all.</p>` : nothing}
${comparisons.map((comparison) => details(`Table: ${pairTitle(data, comparison)}`, pairTable(data, comparison)))}`;
	return { id: 'differences', title, body };
}

function pairTitle(data: ReportData, { a, b }: Comparison): string {
	return `${data.labelOf(a)} minus ${data.labelOf(b)}`;
}

const drawable = ({ rows }: Comparison) => rows.filter(({ metric }) => drawnMetrics.has(metric));

function forestRows(data: ReportData, comparison: Comparison): ForestRow[] {
	const all = drawable(comparison);
	const drawn = all.length > drawnRows ? longestHorizons(all) : all;
	return drawn.map(({ task, metric, horizonDays, difference: estimate }) => ({
		group: `${data.taskLabel(task)}, ${metricLabels[metric]}`,
		label: horizonLabel(horizonDays),
		estimate,
	}));
}

/** Of each task and metric the row with the longest horizon. */
function longestHorizons(rows: Comparison['rows']): Comparison['rows'] {
	const of = ({ task, metric }: Comparison['rows'][number]) => JSON.stringify([task, metric]);
	const longest = new Map<string, Comparison['rows'][number]>();
	for (const row of rows) {
		const known = longest.get(of(row));
		if (known === undefined || (row.horizonDays ?? 0) > (known.horizonDays ?? 0)) longest.set(of(row), row);
	}
	return [...longest.values()];
}

/** 1 when a is shown to be better, whichever way the metric goes. */
function betterSign(metric: string, estimate: Estimate): -1 | 0 | 1 {
	const sign = shownSign(estimate);
	return isLowerBetter.has(metric) ? ((0 - sign) as -1 | 0 | 1) : sign;
}

function pairTable(data: ReportData, comparison: Comparison): Html {
	const [a, b] = [data.labelOf(comparison.a), data.labelOf(comparison.b)];
	const words = { '1': `${a} better`, '-1': `${b} better`, '0': 'no difference shown' } as const;
	let group = '';
	return table(
		pairTitle(data, comparison),
		[{ title: 'Horizon' }, { title: 'Difference', numeric: true }, { title: 'What the interval shows' }],
		comparison.rows.map(({ task, metric, horizonDays, difference: estimate }): Row => {
			const heading = `${data.taskLabel(task)}, ${metricLabels[metric]}`;
			const cells = [
				horizonLabel(horizonDays),
				difference(estimate),
				estimate.value === null ? '' : words[betterSign(metric, estimate)],
			];
			if (heading === group) return { cells };
			group = heading;
			return { cells, group: heading };
		}),
	);
}
