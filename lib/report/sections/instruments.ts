import { type TokenKind, tokenKindNames } from '../../tokenizer/token-kinds.js';
import type { InstrumentMetrics } from '../../train/instruments/metrics.js';
import { html, nothing } from '../html.js';
import { type CurveSeries, type LineChart, lineChart } from '../line-chart.js';
import { legend } from '../marks.js';
import { formatCount, formatMetric, formatSignificant } from '../numbers.js';
import type { ReportRun, ReportRuns } from '../report-data.js';
import type { Point } from '../scales.js';
import type { Section } from '../section.js';
import { exact, type Row, table } from '../table.js';

type Reading = (line: InstrumentMetrics) => number | undefined;

const kindTitles: Readonly<Record<TokenKind, string>> = {
	value: 'Values',
	code: 'Codes',
	gap: 'Time gaps',
	diagnosis: 'Diagnoses',
	drug: 'Drugs',
	death: 'Death',
	other: 'Others',
};
/** Fewer tokens than this jump about; they are in the table alone. */
const fewestDrawn = 200;

const references = [
	{ name: 'byCode', label: 'P(bin | code)' },
	{ name: 'byPrevious', label: 'P(bin | code, previous bin)' },
	{ name: 'linear', label: 'linear in all earlier values' },
] as const;

/** Loss by kind of token and R² of a known state during training; undefined when no run has read them. */
export function instrumentsSection({ runs }: ReportRuns): Section | undefined {
	const read = runs.filter(({ instruments }) => instruments.length > 0);
	if (read.length === 0) return undefined;
	const lines = read.flatMap(({ instruments }) => instruments);
	const [{ patients, tokens }] = [read[0]!.instruments.at(-1)!];
	const drawn = tokenKindNames.filter((kind) =>
		lines.some(({ losses }) => (losses?.[kind]?.tokens ?? 0) >= fewestDrawn),
	);
	const charts = [
		...drawn.map((kind) => lossChart(kind, read)),
		...(lines.some(({ state }) => state !== undefined) ? [stateChart(read)] : []),
	];
	const body = html`<p>Loss on the futures of the same windows of ${formatCount(patients)} tuning patients (${formatCount(tokens)} tokens) each time, by what a token says. A run that only learns which code follows which has not learned the patient: of values it must come below the dashed lines, which are what simple predictors fitted on training patients lose on the same tokens. The reading before the first step is in no chart of losses.</p>
${legend(read.map(({ label, style }) => ({ label, style, kind: 'mark' })))}
<div class="charts">${charts.map((chart) => lineChart(chart))}</div>
${kindTable(read)}${stateTable(read)}`;
	return { id: 'instruments', title: 'What is learned, by kind of token', body };
}

function lossChart(kind: TokenKind, runs: readonly ReportRun[]): LineChart {
	return {
		id: `loss-of-${kind}`,
		title: `${kindTitles[kind]}: next-token loss`,
		valueName: 'nats per token',
		series: seriesOf(runs, ({ step, losses }) => (step === 0 ? undefined : losses?.[kind]?.loss)),
		...(kind === 'value' ? { references: sharedReferences(runs) } : {}),
	};
}

function stateChart(runs: readonly ReportRun[]): LineChart {
	const values = shared(runs, ({ state }) => state?.values);
	return {
		id: 'state-probe',
		title: 'True state now: R² of a small probe',
		reading: 'Cross-validated over these few patients, mean over tokens: lower than on all of them; its course counts.',
		valueName: 'R²',
		series: seriesOf(runs, ({ state }) => state?.mean),
		include: [0],
		references: values === undefined ? [] : [{ value: values, label: 'mean and last value of each test' }],
	};
}

function seriesOf(runs: readonly ReportRun[], reading: Reading): CurveSeries[] {
	return runs.flatMap(({ label, style, instruments }): CurveSeries[] => {
		const points = instruments.flatMap((line): Point[] => {
			const value = reading(line);
			return value === undefined ? [] : [[line.step, value]];
		});
		const series = { style, points };
		return [
			{ ...series, kind: 'line', name: label },
			{ ...series, kind: 'marks', name: label },
		];
	});
}

/** A number that every run has alike: windows of other budgets have other tokens, and lines of one would mislead of another. */
function shared(runs: readonly ReportRun[], reading: Reading): number | undefined {
	const found = new Set(runs.map(({ instruments }) => reading(instruments.at(-1)!)));
	return found.size === 1 ? [...found][0] : undefined;
}

function sharedReferences(runs: readonly ReportRun[]): { value: number; label: string }[] {
	return references.flatMap(({ name, label }) => {
		const value = shared(runs, ({ valueReferences }) => valueReferences?.[name]);
		return value === undefined ? [] : [{ value, label }];
	});
}

function kindTable(runs: readonly ReportRun[]) {
	const kinds = tokenKindNames.filter((kind) => runs.some(({ instruments }) => instruments.at(-1)!.losses?.[kind]));
	if (kinds.length === 0) return nothing;
	const cell = (value: number | undefined) =>
		value === undefined ? html`<span class="why">none</span>` : exact(value, formatSignificant(value));
	const rows = runs.map(({ label, instruments }): Row => {
		const { losses, valueReferences } = instruments.at(-1)!;
		return {
			cells: [
				label,
				...kinds.map((kind) => cell(losses?.[kind]?.loss)),
				...references.map(({ name }) => cell(valueReferences?.[name])),
			],
		};
	});
	const { losses } = runs[0]!.instruments.at(-1)!;
	const titles = kinds.map((kind) => `${kindTitles[kind]} (${formatCount(losses?.[kind]?.tokens ?? 0)})`);
	return table(
		'Last reading: nats per token by kind (tokens read), and simple predictors of values',
		[
			{ title: 'Run' },
			...[...titles, ...references.map(({ label }) => label)].map((title) => ({ title, numeric: true })),
		],
		rows,
	);
}

function stateTable(runs: readonly ReportRun[]) {
	const rows = runs.flatMap(({ label, instruments }): Row[] => {
		const { state } = instruments.at(-1)!;
		if (state === undefined) return [];
		const first = instruments[0]!.state;
		const cells = [first?.mean, state.mean, state.last, state.values].map((value) =>
			value === undefined ? html`<span class="why">none</span>` : exact(value, formatMetric(value)),
		);
		return [{ cells: [label, ...cells] }];
	});
	if (rows.length === 0) return nothing;
	const titles = ['First reading, mean', 'Last reading, mean', 'Last reading, newest token', 'Values of each test'];
	return table(
		'R² of the true state by a small probe',
		[{ title: 'Run' }, ...titles.map((title) => ({ title, numeric: true }))],
		rows,
	);
}
