import { formatNumber, type Html, html } from './html.js';

// Charts are drawn in a small coordinate system, so that text stays readable when a phone shows them at 340 pixels.
const width = 480;
const height = 290;
const margin = { left: 56, right: 14, top: 12, bottom: 46 };
const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };

/** Points of a curve beyond this number are averaged in groups for drawing. */
export const drawnPoints = 300;

export interface Series {
	readonly name: string;
	/** Index of the colour and mark of a model: the same one in every chart. */
	readonly style: number;
	readonly points: readonly (readonly [x: number, y: number])[];
	/** A thin line for noisy training values, marks for evaluations. */
	readonly kind: 'line' | 'marks';
}

export interface ReferenceLine {
	readonly y: number;
	readonly label: string;
}

/** Steps of 1, 2 or 5 times a power of ten that cover a range with about `count` ticks. */
export function ticks(low: number, high: number, count: number): number[] {
	const span = high - low;
	if (!(span > 0)) return [low];
	const raw = span / count;
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw) ?? raw;
	const result: number[] = [];
	for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
		result.push(Number((i * step).toPrecision(12)));
	return result;
}

function scale(low: number, high: number, from: number, to: number): (value: number) => number {
	const span = high - low || 1;
	return (value) => from + ((value - low) / span) * (to - from);
}

/** Means of consecutive groups, at most `drawnPoints` of them. */
export function thinned(points: Series['points']): Series['points'] {
	if (points.length <= drawnPoints) return points;
	const group = Math.ceil(points.length / drawnPoints);
	const result: [number, number][] = [];
	for (let start = 0; start < points.length; start += group) {
		const part = points.slice(start, start + group);
		result.push([
			part.reduce((sum, [x]) => sum + x, 0) / part.length,
			part.reduce((sum, [, y]) => sum + y, 0) / part.length,
		]);
	}
	return result;
}

/** A mark whose shape differs with the style, so that colour is never the only difference. */
export function mark(style: number, x: number, y: number, size = 4.5): Html {
	const points = (list: readonly (readonly [number, number])[]) =>
		list.map(([dx, dy]) => `${(x + dx * size).toFixed(1)},${(y + dy * size).toFixed(1)}`).join(' ');
	switch (style % 4) {
		case 0:
			return html`<circle class="f${style}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${size}"/>`;
		case 1:
			return html`<rect class="f${style}" x="${(x - size * 0.9).toFixed(1)}" y="${(y - size * 0.9).toFixed(1)}" width="${size * 1.8}" height="${size * 1.8}"/>`;
		case 2:
			return html`<polygon class="f${style}" points="${points([
				[0, -1.3],
				[1.3, 0],
				[0, 1.3],
				[-1.3, 0],
			])}"/>`;
		default:
			return html`<polygon class="f${style}" points="${points([
				[0, -1.2],
				[1.15, 0.9],
				[-1.15, 0.9],
			])}"/>`;
	}
}

function frame(title: string, description: string, body: Html): Html {
	return html`<figure><figcaption>${title}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}"><title>${title}</title><desc>${description}</desc>${body}</svg></figure>`;
}

function yAxis(values: readonly number[], y: (value: number) => number, label: string): Html {
	return html`${values.map(
		(value) =>
			html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" x="${margin.left - 7}" y="${(y(value) + 4.5).toFixed(1)}" text-anchor="end">${formatTick(value)}</text>`,
	)}<text class="axis" transform="translate(14 ${margin.top + inner.height / 2}) rotate(-90)" text-anchor="middle">${label}</text>`;
}

function formatTick(value: number): string {
	return Math.abs(value) >= 10_000 ? `${formatNumber(value / 1000, 0)}k` : String(value);
}

/** Curves over steps. @param log - Logarithmic y axis; all values must be positive. */
export function lineChart(
	title: string,
	yLabel: string,
	series: readonly Series[],
	options: { readonly references?: readonly ReferenceLine[]; readonly from?: number } = {},
): Html {
	const drawn = series
		.map((one) => ({ ...one, points: thinned(one.points) }))
		.filter(({ points }) => points.length > 0);
	if (drawn.length === 0) return html``;
	const references = options.references ?? [];
	const xs = drawn.flatMap(({ points }) => points.map(([x]) => x));
	const ys = [...drawn.flatMap(({ points }) => points.map(([, y]) => y)), ...references.map(({ y }) => y)];
	const xHigh = Math.max(...xs, 1);
	let low = options.from ?? Math.min(...ys);
	// The first steps are far off; they would flatten the rest of the curve.
	const settled = drawn.flatMap(({ points }) => points.slice(Math.floor(points.length * 0.03)).map(([, y]) => y));
	let high = Math.max(...settled, ...references.map(({ y }) => y));
	if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
	const padding = 0.05 * (high - low);
	const bottom = options.from ?? low - padding;
	const top = high + padding;
	const x = scale(0, xHigh, margin.left, width - margin.right);
	const y = scale(bottom, top, margin.top + inner.height, margin.top);
	const clamp = (value: number) => Math.max(margin.top, Math.min(margin.top + inner.height, y(value)));
	const body = html`${yAxis(ticks(bottom, top, 5), y, yLabel)}${ticks(0, xHigh, 5).map(
		(value) =>
			html`<text class="tick" x="${x(value).toFixed(1)}" y="${height - 24}" text-anchor="middle">${formatTick(value)}</text>`,
	)}<text class="axis" x="${margin.left + inner.width / 2}" y="${height - 6}" text-anchor="middle">step</text>${references.map(
		({ y: value, label }) =>
			html`<line class="reference" x1="${margin.left}" x2="${width - margin.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" x="${width - margin.right - 4}" y="${(y(value) - 5).toFixed(1)}" text-anchor="end">${label}</text>`,
	)}${drawn.map(({ kind, style, points }) =>
		kind === 'marks'
			? html`${points.map(([px, py]) => mark(style, x(px), clamp(py)))}`
			: html`<polyline class="s${style}" points="${points.map(([px, py]) => `${x(px).toFixed(1)},${clamp(py).toFixed(1)}`).join(' ')}"/>`,
	)}`;
	const description = drawn
		.map(({ name, points }) => `${name}: last value ${formatNumber(points.at(-1)![1])}`)
		.join('; ');
	return frame(title, description, body);
}

export interface IntervalPoint {
	readonly category: string;
	readonly name: string;
	readonly style: number;
	readonly value: number | null;
	readonly low: number | null;
	readonly high: number | null;
}

/** Dots with whiskers, grouped by category along x. */
export function intervalChart(
	title: string,
	yLabel: string,
	xLabel: string,
	points: readonly IntervalPoint[],
	options: { readonly reference?: ReferenceLine; readonly range?: readonly [number, number] } = {},
): Html {
	const shown = points.filter(({ value }) => value !== null);
	if (shown.length === 0)
		return html`<figure><figcaption>${title}</figcaption><p class="muted">Undefined for every model; the table gives the reasons.</p></figure>`;
	const categories = [...new Set(points.map(({ category }) => category))];
	const names = [...new Set(points.map(({ name }) => name))];
	const values = shown.flatMap(({ value, low, high }) => [value!, low ?? value!, high ?? value!]);
	if (options.reference !== undefined) values.push(options.reference.y);
	const low = options.range?.[0] ?? Math.floor(Math.min(...values) * 20) / 20;
	const high = options.range?.[1] ?? Math.ceil(Math.max(...values) * 20) / 20;
	const y = scale(low, high === low ? low + 1 : high, margin.top + inner.height, margin.top);
	const slot = inner.width / categories.length;
	const body = html`${yAxis(ticks(low, high, 5), y, yLabel)}${
		options.reference === undefined
			? ''
			: html`<line class="reference" x1="${margin.left}" x2="${width - margin.right}" y1="${y(options.reference.y).toFixed(1)}" y2="${y(options.reference.y).toFixed(1)}"/>`
	}${categories.map(
		(category, i) =>
			html`<text class="tick" x="${(margin.left + slot * (i + 0.5)).toFixed(1)}" y="${height - 24}" text-anchor="middle">${category}</text>`,
	)}<text class="axis" x="${margin.left + inner.width / 2}" y="${height - 6}" text-anchor="middle">${xLabel}</text>${shown.map(
		(point) => {
			const step = Math.min(26, (slot * 0.8) / names.length);
			const x =
				margin.left +
				slot * (categories.indexOf(point.category) + 0.5) +
				step * (names.indexOf(point.name) - (names.length - 1) / 2);
			const whisker =
				point.low === null || point.high === null
					? ''
					: html`<line class="s${point.style}" x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${y(Math.max(low, point.low)).toFixed(1)}" y2="${y(Math.min(high, point.high)).toFixed(1)}"/>`;
			return html`${whisker}${mark(point.style, x, y(Math.max(low, Math.min(high, point.value!))))}`;
		},
	)}`;
	const description = shown
		.map(({ category, name, value }) => `${category}, ${name}: ${formatNumber(value)}`)
		.join('; ');
	return frame(title, description, body);
}

/** Names with their colours and shapes. */
export function legend(entries: readonly { readonly label: string; readonly style: number }[]): Html {
	return html`<p class="legend">${entries.map(
		({ label, style }) =>
			html`<span><svg viewBox="0 0 14 14" aria-hidden="true">${mark(style, 7, 7)}</svg>${label}</span>`,
	)}</p>`;
}
