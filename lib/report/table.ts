import type { Estimate } from '../evaluate/evaluation-file.js';
import { Html, type HtmlValue, html, nothing } from './html.js';
import { formatCount, formatDifference, formatMetric } from './numbers.js';

export interface Column {
	readonly title: string;
	/** Set right-aligned with figures of equal width. */
	readonly numeric?: boolean;
}

/** The model, and figures. */
export const modelAnd = (...titles: readonly string[]): Column[] => [
	{ title: 'Model' },
	...titles.map((title) => ({ title, numeric: true })),
];

export interface Row {
	/** The first cell names the row. */
	readonly cells: readonly HtmlValue[];
	/** A heading above this row. */
	readonly group?: string;
	/** Set apart from the rows above: counts under estimates. */
	readonly quiet?: boolean;
}

/** A table that scrolls in its own container; its first column stays in sight. A reason that the cell above has stands once. */
export function table(caption: string, columns: readonly Column[], rows: readonly Row[]): Html {
	let above: readonly HtmlValue[] = [];
	const numeric = (i: number) => (columns[i]?.numeric === true ? html` class="n"` : nothing);
	const head = columns.map((column, i) => html`<th scope="col"${numeric(i)}>${column.title}</th>`);
	const body = rows.map(({ cells, group, quiet }) => {
		const heading =
			group === undefined
				? nothing
				: html`<tr class="group"><th scope="rowgroup" colspan="${columns.length}"><span>${group}</span></th></tr>`;
		const content = cells.map((cell, i) => {
			if (i === 0) return html`<th scope="row">${cell}</th>`;
			const over = group === undefined ? above[i] : undefined;
			const isAgain = cell instanceof Reason && over instanceof Reason && cell.text === over.text;
			return html`<td${numeric(i)}>${isAgain ? asAbove : cell}</td>`;
		});
		above = cells;
		return html`${heading}<tr${quiet === true ? html` class="quiet"` : nothing}>${content}</tr>
`;
	});
	return html`<p class="caption">${caption}</p>
<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><thead><tr>${head}</tr></thead><tbody>
${body}</tbody></table></div>
`;
}

/** A number whose full precision stays in the page, for programs and for copying. */
export function exact(value: number, text: string): Html {
	return html`<data value="${value}">${text}</data>`;
}

export function count(value: number): Html {
	return exact(value, formatCount(value));
}

/** A share of samples, such as a prevalence; a dash without samples. */
export function share(value: number | null): HtmlValue {
	return value === null ? '–' : exact(value, value.toFixed(3));
}

/** `0.712 [0.640, 0.781]`, or why there is no number. */
export function estimate(value: Estimate): Html {
	return estimateWith(value, formatMetric);
}

/** `+0.012 [-0.010, +0.034]`, or why there is no number. */
export function difference(value: Estimate): Html {
	return estimateWith(value, formatDifference);
}

/** Why a cell has no number. */
class Reason extends Html {}
const asAbove = html`<span class="why">not defined, as above</span>`;

function estimateWith({ value, low, high, undefinedReason }: Estimate, format: (value: number) => string): Html {
	if (value === null)
		return new Reason(html`<span class="why">not defined: ${undefinedReason ?? 'no reason given'}</span>`.text);
	const interval =
		low === null || high === null
			? html`[no interval]`
			: html`[${exact(low, format(low))}, ${exact(high, format(high))}]`;
	return html`<strong>${exact(value, format(value))}</strong> <span class="interval">${interval}</span>`;
}
