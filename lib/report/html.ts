/** Text that is HTML already: the result of {@link html}, never user input. */
export class Html {
	readonly text: string;
	constructor(text: string) {
		this.text = text;
	}
	toString(): string {
		return this.text;
	}
}

type Value = Html | string | number | null | undefined | readonly Value[];

const entities: Readonly<Record<string, string>> = {
	'&': '&amp;',
	'<': '&lt;',
	'>': '&gt;',
	'"': '&quot;',
	"'": '&#39;',
};

function render(value: Value): string {
	if (value === null || value === undefined) return '';
	if (value instanceof Html) return value.text;
	if (Array.isArray(value)) return value.map(render).join('');
	return String(value).replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Template tag that escapes every value that is not {@link Html}. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
	return new Html(parts.map((part, i) => part + (i < values.length ? render(values[i]) : '')).join(''));
}

/** Three significant digits where it matters, thousands separated; never NaN. */
export function formatNumber(value: number | null, digits = 3): string {
	if (value === null || !Number.isFinite(value)) return 'undefined';
	if (Number.isInteger(value)) return value.toLocaleString('en-US');
	const size = Math.abs(value);
	if (size >= 1000) return Math.round(value).toLocaleString('en-US');
	if (size >= 0.001 || size === 0) return value.toFixed(size >= 100 ? 0 : size >= 10 ? Math.min(1, digits) : digits);
	return value.toExponential(1);
}

export interface Column {
	readonly title: string;
	/** Numbers are set right-aligned with tabular figures. */
	readonly numeric?: boolean;
}

/** A table that scrolls in its own container. */
export function table(
	caption: string,
	columns: readonly Column[],
	rows: readonly (readonly (Html | string)[])[],
): Html {
	const align = (i: number) => (columns[i]?.numeric ? ' class="n"' : '');
	return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${columns.map(
		(column, i) => new Html(`<th scope="col"${align(i)}>${html`${column.title}`}</th>`),
	)}</tr></thead><tbody>${rows.map(
		(row) => html`<tr>${row.map((cell, i) => new Html(`<td${align(i)}>${html`${cell}`}</td>`))}</tr>`,
	)}</tbody></table></div>`;
}
