import { type Html, html, nothing } from './html.js';
import { coordinate } from './marks.js';
import { formatTick } from './numbers.js';
import { ticks } from './scales.js';

/**
 * Charts are drawn in units that are close to pixels both in a column of a desktop page and on a phone, so that their
 * text is readable on either without a second drawing.
 */
export const plotWidth = 420;
/** About the width of a letter of a tick; the wider one, of a phone. */
export const letterWidth = 7.2;
/** From the bottom of a plot to the foot of the numbers below it: on paper, where words are larger, its lowest value keeps apart from them. */
export const tickDrop = 21;

export interface PlotArea {
	readonly left: number;
	readonly right: number;
	readonly top: number;
	readonly bottom: number;
}

export interface FigureText {
	/** Unique in the page; titles and descriptions are tied to the drawing by it. */
	readonly id: string;
	readonly title: string;
	/** How to read it, one sentence, shown above the drawing. */
	readonly reading?: string;
	/** The content in words, for those who cannot see it. */
	readonly description: string;
	/** Shown under the drawing: what is not in it. */
	readonly notes?: readonly string[];
}

export function figure({ id, title, reading, description, notes = [] }: FigureText, height: number, body: Html): Html {
	return html`<figure><figcaption><strong>${title}</strong>${reading === undefined ? nothing : html`<span>${reading}</span>`}</figcaption>
<svg viewBox="0 0 ${plotWidth} ${coordinate(height)}" role="img" aria-labelledby="${id}-title" aria-describedby="${id}-desc"><title id="${id}-title">${title}</title><desc id="${id}-desc">${description}</desc>${body}</svg>${
		notes.length === 0 ? nothing : html`<p class="note">${notes.join(' ')}</p>`
	}</figure>
`;
}

/**
 * Horizontal grid lines with their values, and the axis name above them, which reads better than a rotated one.
 *
 * @param dashed - What a dashed line means: said beside the name, where no mark can lie on it.
 */
export function valueAxis(
	area: PlotArea,
	low: number,
	high: number,
	y: (value: number) => number,
	name: string,
	dashed?: string,
): Html {
	const { values, step } = ticks(low, high, 5);
	const key = dashed === undefined ? nothing : html`<tspan class="key" dx="12">– – ${dashed}</tspan>`;
	return html`<text class="axis" x="${area.left}" y="${area.top - 11}">${name}${key}</text>${values.map(
		(value) =>
			html`<line class="grid" x1="${area.left}" x2="${area.right}" y1="${coordinate(y(value))}" y2="${coordinate(y(value))}"></line><text class="tick" x="${area.left - 7}" y="${coordinate(y(value) + 4.4)}" text-anchor="end">${formatTick(value, step)}</text>`,
	)}`;
}

/** A dashed horizontal line. Its meaning stands outside the plot, in which it would lie on marks. */
export function dashedLine(area: PlotArea, y: number): Html {
	return html`<line class="reference" x1="${area.left}" x2="${area.right}" y1="${coordinate(y)}" y2="${coordinate(y)}"></line>`;
}
