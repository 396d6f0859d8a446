import { type Html, html, nothing } from './html.js';
import { colourClass, coordinate, dashOf, mark } from './marks.js';
import { formatSignificant, formatTick } from './numbers.js';
import { dashedLine, figure, plotWidth, tickDrop, valueAxis } from './plot-frame.js';
import { extent, linearScale, type Point, smoothed, thinned, ticks } from './scales.js';

const height = 258;
const area = { left: 46, right: plotWidth - 12, top: 30, bottom: height - 42 };
/** Share of a curve's first points that may leave the chart: they would flatten all the rest. */
const burnIn = 0.03;
const burnInFrom = 50;
/** Up to this multiple of the settled range the first points stay in the chart. */
const tolerated = 1.4;

export interface CurveSeries {
	readonly name: string;
	/** Colour, shape and dash of a model, the same in every chart. */
	readonly style: number;
	/** Ascending in x. */
	readonly points: readonly Point[];
	/** A line for training batches, marks for evaluations. */
	readonly kind: 'line' | 'marks';
	/** Sets a second quantity of the same model apart: dashed line, hollow marks. Absent: the model's own dash. */
	readonly variant?: 'solid' | 'dashed';
}

export interface LineChart {
	readonly id: string;
	readonly title: string;
	readonly reading?: string;
	readonly valueName: string;
	/** What x counts; default: step. */
	readonly xName?: string;
	readonly series: readonly CurveSeries[];
	/** Values that the axis must hold, such as 0. */
	readonly include?: readonly number[];
	/** Horizontal lines with a meaning. */
	readonly references?: readonly { readonly value: number; readonly label: string }[];
}

/** Curves over optimiser steps. Nothing when no series has a point. */
export function lineChart(chart: LineChart): Html {
	const drawn = chart.series
		.filter(({ points }) => points.length > 0)
		.map((series) => ({ ...series, points: thinned(series.points) }));
	if (drawn.length === 0) return nothing;
	const references = chart.references ?? [];
	// The meaning of one line stands beside the name of the axis; of several below the drawing, where they cannot lie on curves.
	const only = references.length === 1 ? references[0] : undefined;
	const anchors = [...(chart.include ?? []), ...references.map(({ value }) => value)];
	const settled = drawn.flatMap(({ points }) =>
		points.slice(points.length < burnInFrom ? 0 : Math.ceil(points.length * burnIn)).map(([, value]) => value),
	);
	const every = drawn.flatMap(({ points }) => points.map(([, value]) => value));
	const [low, settledHigh] = extent([...settled, ...anchors]);
	const [, everyHigh] = extent([...every, ...anchors]);
	const high = everyHigh - low > tolerated * (settledHigh - low) ? settledHigh : everyHigh;
	const bottom = chart.include?.includes(low) ? low : low - 0.04 * (high - low);
	const top = high + 0.06 * (high - low);
	const xName = chart.xName ?? 'step';
	const farthest = Math.max(...drawn.map(({ points }) => points.at(-1)![0]));
	// Steps are whole; of other numbers the axis goes as far as they do.
	const [lastStep, smallest] = xName === 'step' ? [Math.max(1, farthest), 1] : [farthest || 1, 0];
	const x = linearScale(0, lastStep, area.left, area.right);
	const y = linearScale(bottom, top, area.bottom, area.top);
	const steps = ticks(0, lastStep, 5, smallest);
	const highest = extent(every)[1];
	const body = html`${valueAxis(area, bottom, top, y, chart.valueName, only?.label)}${steps.values.map(
		(value) =>
			html`<text class="tick" x="${coordinate(x(value))}" y="${area.bottom + tickDrop}" text-anchor="middle">${formatTick(value, steps.step)}</text>`,
	)}<text class="axis" x="${(area.left + area.right) / 2}" y="${height - 5}" text-anchor="middle">${xName}</text>${plotted(drawn, xName, x, y)}${references.map(({ value }) => dashedLine(area, y(value)))}`;
	const fromTheTop = references.toSorted((a, b) => b.value - a.value).map(({ label }) => label);
	return figure(
		{
			id: chart.id,
			title: chart.title,
			...(chart.reading === undefined ? {} : { reading: chart.reading }),
			description: drawn
				.map(
					({ name, points }) =>
						`${name}: ${formatSignificant(points[0]![1])} at ${placeOf(xName, points[0]![0])}, ${formatSignificant(points.at(-1)![1])} at ${placeOf(xName, points.at(-1)![0])}`,
				)
				.join('; '),
			notes: [
				...(references.length > 1 ? [`Dashed lines, from the top: ${fromTheTop.join('; ')}.`] : []),
				...(highest > top ? [`The first steps, up to ${formatSignificant(highest)}, are above the axis.`] : []),
			],
		},
		height,
		body,
	);
}

function placeOf(xName: string, value: number): string {
	return xName === 'step' ? `step ${Math.round(value)}` : `${formatSignificant(value)} ${xName}`;
}

function plotted(
	drawn: readonly CurveSeries[],
	xName: string,
	x: (step: number) => number,
	y: (value: number) => number,
): Html {
	const lines = drawn.filter(({ kind }) => kind === 'line');
	const path = (points: readonly Point[]) =>
		points.map(([step, value]) => `${coordinate(x(step))},${coordinate(y(value))}`).join(' ');
	const dash = ({ variant, style }: CurveSeries) =>
		variant === undefined ? dashOf(style) : variant === 'dashed' ? '6 3' : '';
	const curves = lines.map((series) => {
		const smooth = smoothed(series.points);
		const colour = colourClass(series.style);
		return html`${smooth === undefined ? nothing : html`<polyline class="raw ${colour}" points="${path(series.points)}"></polyline>`}<polyline class="curve ${colour}" points="${path(smooth ?? series.points)}" stroke-dasharray="${dash(series)}"></polyline>`;
	});
	// A second drawing area cuts off what leaves the axes; coordinates inside are those outside.
	const inside = html`<svg class="plot" x="${area.left}" y="${area.top - 4}" width="${area.right - area.left + 6}" height="${area.bottom - area.top + 4}" viewBox="${area.left} ${area.top - 4} ${area.right - area.left + 6} ${area.bottom - area.top + 4}">${curves}</svg>`;
	const evaluated = (line: CurveSeries) =>
		drawn.some(({ kind, style, variant }) => kind === 'marks' && style === line.style && variant === line.variant);
	const marks = drawn.flatMap((series) => {
		// A model's marks identify its line; a line without marks gets one at its end.
		const ends =
			series.points.length === 1 || !evaluated(series) ? (smoothed(series.points) ?? series.points).slice(-1) : [];
		return (series.kind === 'marks' ? series.points : ends)
			.filter(([, value]) => y(value) >= area.top - 4)
			.map(([step, value]) =>
				mark(series.style, x(step), y(value), {
					size: series.kind === 'marks' ? 4 : 3.2,
					hollow: series.variant === 'dashed',
					title: `${series.name}, ${placeOf(xName, step)}: ${formatSignificant(value)}`,
				}),
			);
	});
	return html`${inside}${marks}`;
}
