/** Text that is HTML already: the result of {@link html}, never input. */
export class Html {
	readonly text: string;
	constructor(text: string) {
		this.text = text;
	}
	toString(): string {
		return this.text;
	}
}

export type HtmlValue = Html | string | number | readonly HtmlValue[];

const entities: Readonly<Record<string, string>> = {
	'&': '&amp;',
	'<': '&lt;',
	'>': '&gt;',
	'"': '&quot;',
	"'": '&#39;',
};

function render(value: HtmlValue): string {
	if (value instanceof Html) return value.text;
	if (Array.isArray(value)) return value.map(render).join('');
	return String(value).replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Template tag that escapes every value that is not {@link Html}, for element content and for quoted attributes. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
	return new Html(parts.map((part, i) => part + (i < values.length ? render(values[i]!) : '')).join(''));
}

export const nothing: Html = new Html('');
