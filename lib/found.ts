/** What was found where something else was expected: the one place that says what kind of value an unknown value is. */

/** Whether a value has named parts: a list, and null, have none. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The kind of a value in words, which never show the value itself: `a list`. */
export function kindOf(value: unknown): string {
	if (value === undefined) return 'nothing';
	if (value === null) return 'null';
	if (Array.isArray(value)) return 'a list';
	if (typeof value === 'string') return 'a text';
	return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

// A message is one line that is read whole.
const longest = 200;

/**
 * A value as JSON. Numbers that JSON lacks are called by their names and not null, and what is long is called by its kind.
 * For options and configurations: cells of patients are named by {@link kindOf} alone.
 */
export function shown(value: unknown): string {
	if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
	const text: string | undefined = JSON.stringify(value, (_key, inner: unknown) =>
		typeof inner === 'bigint' || (typeof inner === 'number' && !Number.isFinite(inner)) ? String(inner) : inner,
	);
	if (text === undefined) return value === undefined ? 'missing' : kindOf(value);
	return text.length <= longest ? text : `${kindOf(value)} of ${text.length} characters (${text.slice(0, 60)} ...)`;
}
