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
	const body = html`<p>Score of one model minus that of another on the same ${formatCount(data.evaluation.bootstrap.draws)} resamples of patients, which removes what both find easy or hard. Filled marks: the ${formatPercent(data.evaluation.bootstrap.level)} interval excludes 0, a difference was shown. Hollow marks: no difference could be shown, which does not mean that there is none.</p>
<div class="charts">${comparisons.slice(0, drawnPairs).map((comparison, i) =>
		forestChart({
			id: `difference-${i}`,
			title: pairTitle(data, comparison),
			rows: forestRows(data, comparison),
			sides: [`${data.labelOf(comparison.b)} better`, `${data.labelOf(comparison.a)} better`],
		}),
	)}</div>
${comparisons.length > drawnPairs ? html`<p class="note">${drawnPairs} of ${comparisons.length} pairs are drawn; the tables hold all.</p>` : nothing}
${comparisons.map((comparison) => details(`Table: ${pairTitle(data, comparison)}`, pairTable(data, comparison)))}`;
	return { id: 'differences', title, body };
}

function pairTitle(data: ReportData, { a, b }: Comparison): string {
	return `${data.labelOf(a)} minus ${data.labelOf(b)}`;
}

function forestRows(data: ReportData, { rows }: Comparison): ForestRow[] {
	const drawn = rows.filter(({ metric }) => drawnMetrics.has(metric));
	return drawn.map(({ task, metric, horizonDays, difference: estimate }) => ({
		group: `${data.taskLabel(task)}, ${metricLabels[metric]}`,
		label: horizonLabel(horizonDays),
		estimate,
	}));
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
