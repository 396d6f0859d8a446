import { type Html, html } from './html.js';

export const colours = 8;
const shapes = 5;
const dashes = ['', '7 3', '2 3', '9 3 2 3', '5 2 1 2 1 2'];

/** CSS class that gives a series its colour. */
export function colourClass(style: number): string {
	return `c${style % colours}`;
}

/** Dash pattern of a series: colour is never the only difference. */
export function dashOf(style: number): string {
	return dashes[style % dashes.length]!;
}

export function coordinate(value: number): string {
	return String(Number(value.toFixed(1)));
}

/** A mark of about 2 `size` across. Colours repeat after eight series and shapes after five, so pairs after forty. */
export function mark(
	style: number,
	x: number,
	y: number,
	options: { readonly size?: number; readonly hollow?: boolean; readonly title?: string } = {},
): Html {
	const size = options.size ?? 4.6;
	const attributes = `mark ${colourClass(style)}${options.hollow === true ? ' hollow' : ''}`;
	const title = options.title === undefined ? '' : html`<title>${options.title}</title>`;
	const polygon = (corners: readonly (readonly [number, number])[]) =>
		html`<polygon class="${attributes}" points="${corners
			.map(([dx, dy]) => `${coordinate(x + dx * size)},${coordinate(y + dy * size)}`)
			.join(' ')}">${title}</polygon>`;
	switch (style % shapes) {
		case 0:
			return html`<circle class="${attributes}" cx="${coordinate(x)}" cy="${coordinate(y)}" r="${size}">${title}</circle>`;
		case 1:
			return polygon([
				[-0.9, -0.9],
				[0.9, -0.9],
				[0.9, 0.9],
				[-0.9, 0.9],
			]);
		case 2:
			return polygon([
				[0, -1.3],
				[1.3, 0],
				[0, 1.3],
				[-1.3, 0],
			]);
		case 3:
			return polygon([
				[0, -1.2],
				[1.2, 0.9],
				[-1.2, 0.9],
			]);
		default:
			return polygon([
				[0, 1.2],
				[1.2, -0.9],
				[-1.2, -0.9],
			]);
	}
}

export interface LegendEntry {
	readonly label: string;
	readonly style: number;
	/** `mark`: a dot with a whisker; `line`: a curve in the series' own dash. */
	readonly kind: 'mark' | 'line';
	readonly note?: string;
}

/** Names with their colours and shapes. */
export function legend(entries: readonly LegendEntry[]): Html {
	return html`<ul class="legend">${entries.map(({ label, style, kind, note }) => {
		const line =
			kind === 'line'
				? html`<line class="curve ${colourClass(style)}" x1="1" x2="29" y1="8" y2="8" stroke-dasharray="${dashOf(style)}"></line>`
				: html`<line class="whisker ${colourClass(style)}" x1="15" x2="15" y1="0" y2="16"></line>`;
		return html`<li><svg viewBox="0 0 30 16" aria-hidden="true">${line}${mark(style, 15, 8)}</svg><span>${label}${
			note === undefined ? '' : html` <span class="muted">${note}</span>`
		}</span></li>`;
	})}</ul>`;
}
