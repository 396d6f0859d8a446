import { type Html, type HtmlValue, html } from './html.js';

/** One part of the page, with its entry in the table of contents. */
export interface Section {
	readonly id: string;
	readonly title: string;
	readonly body: Html;
}

/** Long tables: closed on screen, open on paper. */
export function details(summary: string, body: HtmlValue): Html {
	return html`<details><summary>${summary}</summary>${body}</details>
`;
}
