import type { EvaluationFile, ProbeResult } from '../../evaluate/evaluation-file.js';
import { type Html, html, nothing } from '../html.js';
import { type CurveSeries, type LineChart, lineChart } from '../line-chart.js';
import { legend } from '../marks.js';
import { horizonLabel } from '../numbers.js';
import type { ReportData, ReportRun } from '../report-data.js';
import type { Point } from '../scales.js';
import { details, type Section } from '../section.js';
import { count, estimate, type Row, table } from '../table.js';

/** Tasks whose AUROC is drawn; the table has all. */
const drawnTasks = 4;
const million = 1e6;

/** A reading of one model after so many tokens. */
interface Reading {
	readonly run: ReportRun;
	readonly tokens: number;
	readonly probe: ProbeResult;
}

/** What more training brings, against tokens seen. Undefined when no run has numbers at two places. */
export function scalingSection(data: ReportData): Section | undefined {
	const charts = instruments.map(({ pick, ...chart }): LineChart => {
		const series = data.runs.flatMap((run): CurveSeries[] => {
			const tokensAt = tokensOf(run);
			const points = pick(run).map(([step, value]): Point => [tokensAt(step) / million, value]);
			if (points.length < 2) return [];
			const shared = { name: run.label, style: run.style, points };
			return [
				{ ...shared, kind: 'line' },
				{ ...shared, kind: 'marks' },
			];
		});
		return { ...chart, xName: 'million tokens', series };
	});
	const readings = [...data.earlier, data.evaluation].flatMap((evaluation) => readingsOf(data, evaluation));
	const metrics = metricCharts(data, readings);
	const drawn = [...metrics, ...charts].filter(({ series }) => series.length > 0);
	if (drawn.length === 0) return undefined;
	const shown = data.runs.filter(({ style }) => drawn.some(({ series }) => series.some((one) => one.style === style)));
	const body = html`<p>The same numbers against the tokens that a run had seen: where a curve has flattened, more of the same training brings little; where it falls or rises still, the run was short. ${
		metrics.length > 0
			? 'AUROC is that of the evaluations given, each of one checkpoint.'
			: html`AUROC is not drawn: that takes evaluations of several checkpoints (<code>report --earlier</code>).`
	} The course within one run is also that of its learning rate.</p>
${legend(shown.map(({ label, style }) => ({ label, style, kind: 'line' })))}
<div class="charts">${drawn.map((chart) => lineChart(chart))}</div>
${metrics.length === 0 ? nothing : details('Table: AUROC by tokens seen', metricTable(data, readings))}`;
	return { id: 'scaling', title: 'Scaling with tokens seen', body };
}

type Curve = (run: ReportRun) => Point[];

const curve =
	<Line extends { readonly step: number }>(
		lines: (run: ReportRun) => readonly Line[],
		pick: (line: Line) => number | null | undefined,
	): Curve =>
	(run) =>
		lines(run).flatMap((line): Point[] => {
			const value = pick(line);
			return value === null || value === undefined ? [] : [[line.step, value]];
		});

const instruments: readonly (Omit<LineChart, 'series'> & { readonly pick: Curve })[] = [
	{
		id: 'scaling-next-token',
		title: 'Next-token loss of tuning patients',
		valueName: 'nats per token',
		pick: curve(
			({ tuning }) => tuning,
			({ nextTokenLoss }) => nextTokenLoss,
		),
	},
	{
		id: 'scaling-values',
		title: 'Loss of value tokens',
		valueName: 'nats per token',
		pick: curve(
			// The reading before the first step would flatten all the rest.
			({ instruments: lines }) => lines.filter(({ step }) => step > 0),
			({ losses }) => losses?.value?.loss,
		),
	},
	{
		id: 'scaling-state',
		title: 'R² of the true state by a small probe',
		valueName: 'R²',
		pick: curve(
			({ instruments: lines }) => lines,
			({ state }) => state?.mean,
		),
	},
];

/** Tokens that a run had seen after a step. */
function tokensOf({ steps }: ReportRun): (step: number) => number {
	const after = new Map([[0, 0]]);
	let sum = 0;
	for (const { step, tokens } of steps) {
		sum += tokens;
		after.set(step, sum);
	}
	return (step) => after.get(step) ?? sum;
}

function readingsOf(data: ReportData, { models, probes }: EvaluationFile): Reading[] {
	return models.flatMap(({ name, kind, states }): Reading[] => {
		const run = data.runs.find((one) => one.name === name);
		const step = Number(states?.source?.step);
		if (kind !== 'encoder' || run === undefined || !Number.isInteger(step)) return [];
		const tokens = tokensOf(run)(step);
		return probes.filter(({ model }) => model === name).map((probe) => ({ run, tokens, probe }));
	});
}

const questionOf = ({ probe }: Reading) => JSON.stringify([probe.task, probe.horizonDays]);

function metricCharts(data: ReportData, readings: readonly Reading[]): LineChart[] {
	const questions = [...new Map(readings.map((reading) => [questionOf(reading), reading.probe])).entries()];
	const charts = questions.map(([key, { task, horizonDays, nPositives }], i) => {
		const series = data.runs.flatMap((run): CurveSeries[] => {
			const points = new Map<number, number>();
			for (const reading of readings) {
				const { value } = reading.probe.auroc;
				if (reading.run === run && questionOf(reading) === key && value !== null)
					points.set(reading.tokens / million, value);
			}
			if (points.size < 2) return [];
			const shared = { name: run.label, style: run.style, points: [...points].sort(([a], [b]) => a - b) };
			return [
				{ ...shared, kind: 'line' },
				{ ...shared, kind: 'marks' },
			];
		});
		const chart: LineChart = {
			id: `scaling-auroc-${i}`,
			title: `${data.taskLabel(task)}, ${horizonLabel(horizonDays)}: AUROC`,
			valueName: 'AUROC',
			xName: 'million tokens',
			series,
		};
		return { chart, nPositives };
	});
	return charts
		.filter(({ chart }) => chart.series.length > 0)
		.sort((a, b) => b.nPositives - a.nPositives)
		.slice(0, drawnTasks)
		.map(({ chart }) => chart);
}

function metricTable(data: ReportData, readings: readonly Reading[]): Html {
	let group = '';
	const sorted = readings.toSorted(
		(a, b) => questionOf(a).localeCompare(questionOf(b)) || a.run.name.localeCompare(b.run.name) || a.tokens - b.tokens,
	);
	return table(
		'AUROC after so many tokens',
		[{ title: 'Run' }, { title: 'Tokens', numeric: true }, { title: 'AUROC', numeric: true }],
		sorted.map(({ run, tokens, probe }): Row => {
			const heading = `${data.taskLabel(probe.task)}, ${horizonLabel(probe.horizonDays)}`;
			const cells = [run.label, count(tokens), estimate(probe.auroc)];
			if (heading === group) return { cells };
			group = heading;
			return { cells, group: heading };
		}),
	);
}
