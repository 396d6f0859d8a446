import { html } from '../report/html.js';
import { median } from '../report/median.js';
import { formatCount, formatDifference, formatMetric, formatSignificant } from '../report/numbers.js';
import type { ReportRun } from '../report/report-data.js';
import type { Section } from '../report/section.js';
import { exact, type Row, table } from '../report/table.js';
import type { LiveRun } from './live-run.js';

interface Reading {
	readonly step: number;
	readonly value: number;
}

interface Compared {
	readonly name: string;
	readonly of: (run: ReportRun) => readonly Reading[];
}

function readings<Line extends { readonly step: number }>(
	lines: readonly Line[],
	pick: (line: Line) => number | null | undefined,
): Reading[] {
	return lines.flatMap((line) => {
		const value = pick(line);
		return value === null || value === undefined ? [] : [{ step: line.step, value }];
	});
}

// The rate of one step says what else the machine was doing.
const stepsOfRate = 20;

/** Tokens per second of each step and those before it. */
function rates(steps: ReportRun['steps']): Reading[] {
	return steps.map(({ step }, i) => {
		const newest = steps.slice(Math.max(0, i + 1 - stepsOfRate), i + 1);
		return { step, value: median(newest.map(({ tokensPerSecond }) => tokensPerSecond)) };
	});
}

const compared: readonly Compared[] = [
	{ name: 'Tuning, next-token loss', of: ({ tuning }) => readings(tuning, (line) => line.nextTokenLoss) },
	{ name: 'Tuning, latent loss', of: ({ tuning }) => readings(tuning, (line) => line.latentLoss) },
	{ name: 'Loss of values', of: ({ instruments }) => readings(instruments, (line) => line.losses?.value?.loss) },
	{ name: 'Loss of codes', of: ({ instruments }) => readings(instruments, (line) => line.losses?.code?.loss) },
	{
		name: 'R² of the state, mean over tokens',
		of: ({ instruments }) => readings(instruments, (line) => line.state?.mean),
	},
	{ name: 'Next-token loss of a training batch', of: ({ steps }) => readings(steps, (line) => line.nextTokenLoss) },
	{ name: `Tokens per second, median of ${stepsOfRate} steps`, of: ({ steps }) => rates(steps) },
];

/** Two runs beside each other, at the newest step that both have read. */
export function comparisonSection(first: LiveRun, second: LiveRun): Section {
	const [a, b] = [first.shown, second.shown];
	const rows = compared.flatMap(({ name, of }): Row[] => {
		const [ones, others] = [of(a), of(b)];
		const at = new Map(others.map((reading) => [reading.step, reading.value]));
		const one = ones.findLast(({ step }) => at.has(step));
		if (one === undefined) return [];
		const other = at.get(one.step)!;
		const show = name.startsWith('R²') ? formatMetric : formatSignificant;
		const change = one.value - other;
		return [
			{
				cells: [
					name,
					formatCount(one.step),
					exact(one.value, show(one.value)),
					exact(other, show(other)),
					exact(change, formatDifference(change, Math.abs(change) >= 100 ? formatSignificant : formatMetric)),
				],
			},
		];
	});
	const columns = ['At step', a.label, b.label, 'Difference'];
	const body =
		rows.length === 0
			? html`<p>These runs have no step in common yet.</p>`
			: html`<p>Each number at the newest step that both runs have; one training batch says little, the same tuning patients more.</p>
${table(`${a.label} and ${b.label}`, [{ title: 'Number' }, ...columns.map((title) => ({ title, numeric: true }))], rows)}`;
	return { id: 'compare', title: 'The two compared', body };
}
