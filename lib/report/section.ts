import { type Html, type HtmlValue, html, nothing } from './html.js';

/** One part of the page, with its entry in the table of contents. */
export interface Section {
	readonly id: string;
	readonly title: string;
	readonly body: Html;
}

/** Rows of tables in a fold that paper opens by itself; with more, a report of many tasks would print on a hundred pages. */
const rowsOnPaper = 40;

/**
 * Tables and further charts: closed on screen, open on paper. One with many rows is printed where the reader has opened it;
 * otherwise paper says how many rows there are.
 */
export function details(summary: string, body: HtmlValue): Html {
	const inside = html`${body}`;
	const rows = inside.text.split('<th scope="row"').length - 1;
	if (rows <= rowsOnPaper) return fold(nothing, html`${summary}`, inside);
	return fold(
		html` class="long"`,
		html`${summary}<span class="on-paper"> (${rows} rows, not printed: they are when the fold is open)</span>`,
		inside,
	);
}

function fold(attributes: Html, summary: Html, body: Html): Html {
	return html`<details${attributes}><summary>${summary}</summary>${body}</details>
`;
}
