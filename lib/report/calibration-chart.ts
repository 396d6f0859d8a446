import { type Html, html } from './html.js';
import { colourClass, coordinate, dashOf, mark } from './marks.js';
import { formatMetric, formatTick } from './numbers.js';
import { figure, type PlotArea, plotWidth, tickDrop, valueAxis } from './plot-frame.js';
import { linearScale, ticks } from './scales.js';

const height = 300;
const area: PlotArea = { left: 46, right: plotWidth - 12, top: 30, bottom: height - 42 };

interface CalibrationSeries {
	readonly name: string;
	readonly style: number;
	/** Ascending in what was predicted. */
	readonly points: readonly { readonly predicted: number; readonly observed: number; readonly weight: number }[];
}

/** What was observed against what was predicted, by bins of the prediction; on the diagonal they agree. */
export function calibrationChart(chart: {
	readonly id: string;
	readonly title: string;
	readonly series: readonly CalibrationSeries[];
}): Html {
	const highest = Math.max(
		0.1,
		...chart.series.flatMap(({ points }) => points.flatMap(({ predicted, observed }) => [predicted, observed])),
	);
	const top = Math.min(1, Math.ceil(highest * 10) / 10);
	const x = linearScale(0, top, area.left, area.right);
	const y = linearScale(0, top, area.bottom, area.top);
	const steps = ticks(0, top, 5);
	const body = html`${valueAxis(area, 0, top, y, 'observed share')}${steps.values.map(
		(value) =>
			html`<text class="tick" x="${coordinate(x(value))}" y="${area.bottom + tickDrop}" text-anchor="middle">${formatTick(value, steps.step)}</text>`,
	)}<text class="axis" x="${(area.left + area.right) / 2}" y="${height - 5}" text-anchor="middle">predicted probability</text><line class="reference" x1="${coordinate(x(0))}" y1="${coordinate(y(0))}" x2="${coordinate(x(top))}" y2="${coordinate(y(top))}"></line>${chart.series.map(
		({ style, points }) =>
			html`<polyline class="curve ${colourClass(style)}" points="${points.map(({ predicted, observed }) => `${coordinate(x(predicted))},${coordinate(y(observed))}`).join(' ')}" stroke-dasharray="${dashOf(style)}"></polyline>`,
	)}${chart.series.map(({ name, style, points }) =>
		points.map(({ predicted, observed, weight }) =>
			mark(style, x(predicted), y(observed), {
				size: 3.6,
				title: `${name}: predicted ${formatMetric(predicted)}, observed ${formatMetric(observed)}, ${weight} samples`,
			}),
		),
	)}`;
	return figure(
		{
			id: chart.id,
			title: chart.title,
			description: chart.series
				.map(
					({ name, points }) =>
						`${name}: ${points.map(({ predicted, observed }) => `${formatMetric(predicted)} predicted, ${formatMetric(observed)} observed`).join(', ')}`,
				)
				.join('; '),
		},
		height,
		body,
	);
}
