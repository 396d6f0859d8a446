import type { Estimate } from '../evaluate/evaluation-file.js';
import { type Html, html, nothing } from './html.js';
import { labelLines } from './label-lines.js';
import { colourClass, coordinate, mark } from './marks.js';
import { formatMetric } from './numbers.js';
import { dashedLine, figure, letterWidth, type PlotArea, plotWidth, tickDrop, valueAxis } from './plot-frame.js';
import { linearScale } from './scales.js';

const height = 258;
const area: PlotArea = { left: 46, right: plotWidth - 12, top: 30, bottom: height - 42 };
const lineHeight = 15;
/** Size of a cross where there is no number, and its width as a share of its size. */
const largestCross = 15;
const crossWidth = 0.9;

interface IntervalPoint {
	/** Place on the x axis; places appear in the order of their first point. */
	readonly category: string;
	readonly name: string;
	readonly style: number;
	readonly estimate: Estimate;
}

export interface IntervalChart {
	readonly id: string;
	readonly title: string;
	readonly valueName: string;
	readonly categoryName: string;
	readonly points: readonly IntervalPoint[];
	/** Range of the axis; what leaves it ends in an arrow. */
	readonly range: readonly [low: number, high: number];
	readonly reference: { readonly value: number; readonly label: string };
}

/** `0.712 [0.640, 0.781]` as plain text. */
function estimateText({ value, low, high, undefinedReason }: Estimate): string {
	if (value === null) return `not defined (${undefinedReason ?? 'no reason given'})`;
	return low === null || high === null
		? `${formatMetric(value)} [no interval]`
		: `${formatMetric(value)} [${formatMetric(low)}, ${formatMetric(high)}]`;
}

/** Estimates as marks with their intervals as whiskers, side by side in each category. */
export function intervalChart(chart: IntervalChart): Html {
	const categories = [...new Set(chart.points.map(({ category }) => category))];
	const names = [...new Set(chart.points.map(({ name }) => name))];
	const [low, high] = chart.range;
	const y = linearScale(low, high, area.bottom, area.top);
	const slot = (area.right - area.left) / Math.max(1, categories.length);
	const step = Math.min(24, (slot * 0.84) / Math.max(1, names.length));
	const centre = (category: string) => area.left + slot * (categories.indexOf(category) + 0.5);
	const place = ({ category, name }: IntervalPoint) =>
		centre(category) + step * (names.indexOf(name) - (names.length - 1) / 2);
	const labels = categories.map((category) => labelLines(category, Math.floor(slot / letterWidth)));
	const below = lineHeight * (Math.max(1, ...labels.map(({ length }) => length)) - 1);
	const empty = new Set(
		categories.filter((category) => ofCategory(chart, category).every(({ estimate }) => estimate.value === null)),
	);
	// Crosses side by side do not touch.
	const crossSize = Math.min(largestCross, step / crossWidth);
	const missing = chart.points.filter(({ estimate }) => estimate.value === null).length;
	const body = html`${valueAxis(area, low, high, y, chart.valueName, chart.reference.label)}${dashedLine(area, y(chart.reference.value))}${categories.map(
		(category, i) =>
			html`${i === 0 ? nothing : html`<line class="grid" x1="${coordinate(area.left + slot * i)}" x2="${coordinate(area.left + slot * i)}" y1="${area.top}" y2="${area.bottom}"></line>`}${labels[i]!.map((line, k) => html`<text class="tick" x="${coordinate(centre(category))}" y="${area.bottom + tickDrop + lineHeight * k}" text-anchor="middle">${line}<title>${category}</title></text>`)}`,
	)}<text class="axis" x="${(area.left + area.right) / 2}" y="${height + below - 5}" text-anchor="middle">${chart.categoryName}</text>${chart.points
		.filter(({ category }) => !empty.has(category))
		.map((point) =>
			drawn(point, place(point), y, low, high, crossSize),
		)}${[...empty].map((category) => noNumber(chart, category, centre(category)))}`;
	const cut = chart.points.some(({ estimate }) =>
		[estimate.value, estimate.low].some((value) => value !== null && value < low),
	);
	return figure(
		{
			id: chart.id,
			title: chart.title,
			description: chart.points
				.map(({ category, name, estimate }) => `${category}, ${name}: ${estimateText(estimate)}`)
				.join('; '),
			notes: [
				...(missing > 0 ? [`× not defined (${missing} of ${chart.points.length}); the table gives the reasons.`] : []),
				...(cut ? ['Whiskers that reach the lower edge go on below it.'] : []),
			],
		},
		height + below,
		body,
	);
}

const ofCategory = ({ points }: IntervalChart, category: string) =>
	points.filter((point) => point.category === category);

/** One cross for all of a category in which there is no number. */
function noNumber(chart: IntervalChart, category: string, x: number): Html {
	const title = ofCategory(chart, category)
		.map(({ name, estimate }) => `${name}, ${category}: ${estimateText(estimate)}`)
		.join('; ');
	return html`<text class="missing" x="${coordinate(x)}" y="${area.bottom - 5}" text-anchor="middle">×<title>${title}</title></text>`;
}

function drawn(
	point: IntervalPoint,
	x: number,
	y: (value: number) => number,
	low: number,
	high: number,
	crossSize: number,
): Html {
	const { value, low: from, high: to } = point.estimate;
	const title = `${point.name}, ${point.category}: ${estimateText(point.estimate)}`;
	const colour = colourClass(point.style);
	if (value === null) {
		return html`<text class="missing ${colour}" x="${coordinate(x)}" y="${area.bottom - 5}" text-anchor="middle" style="font-size:${coordinate(crossSize)}px">×<title>${title}</title></text>`;
	}
	const clamped = (one: number) => y(Math.max(low, Math.min(high, one)));
	const whisker =
		from === null || to === null
			? nothing
			: html`<line class="whisker ${colour}" x1="${coordinate(x)}" x2="${coordinate(x)}" y1="${coordinate(clamped(from))}" y2="${coordinate(clamped(to))}"></line>`;
	return html`${whisker}${mark(point.style, x, clamped(value), { hollow: value < low, title })}`;
}
