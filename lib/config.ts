import { z } from 'zod';
import { ConfigError } from './errors.js';
import { shown } from './found.js';

/** Scalars that several option schemas use. */
export const positiveInteger = z.int().positive();
export const nonNegativeInteger = z.int().nonnegative();
/** Longer than any calendar; microseconds of more would not fit 64 bits. */
export const mostDays = 1_000_000;
export const positiveDays = positiveInteger.max(mostDays);
export const nonNegativeDays = nonNegativeInteger.max(mostDays);
export const fraction = z.number().min(0).max(1);
/** Of float32 arithmetic: what is larger becomes infinite there, what is smaller 0, without a word. */
export const float32Number = z
	.number()
	.refine(
		(value) => value === 0 || (Number.isFinite(Math.fround(value)) && Math.abs(value) >= 2 ** -126),
		'must be 0 or have a size from 1.2e-38 to 3.4e38 (float32)',
	);
/** Of a file or folder; empty would stand for the working directory. */
export const filePath = z
	.string()
	.refine((text) => text !== '', 'must be a path')
	.refine((text) => !text.includes('\0'), 'must not hold a NUL character');
/** Any safe integer from 0; every random draw of a run comes from it. */
export const seed = z.int().nonnegative();

/**
 * Parses options once into a typed object with the defaults filled in.
 *
 * @param scope - Where the value came from, for the message: `train config`.
 * @throws {ConfigError} Lists every violation with its path, rule and value; an unknown key is one.
 */
export function parseConfig<Schema extends z.ZodType>(scope: string, schema: Schema, value: unknown): z.output<Schema> {
	const result = schema.safeParse(value, { reportInput: true });
	if (result.success) return result.data;
	const lines = new Map<string, string>();
	for (const issue of result.error.issues) {
		const path = issue.path.length === 0 ? 'options' : issue.path.map(String).join('.');
		if (issue.code === 'unrecognized_keys') {
			lines.set(`${path} `, `${path} has no option ${issue.keys.map((key) => `"${key}"`).join(', ')}`);
			continue;
		}
		// A rule over several fields names one of them by its path, and has the whole object as input.
		const whole = issue.code === 'custom' || issue.code === 'invalid_union';
		const input = whole ? valueAt(value, issue.path) : issue.input;
		const found = input === undefined ? 'it is missing' : `it is ${shown(input)}`;
		// One value may break several rules; the first says enough.
		if (!lines.has(path)) lines.set(path, `${path}: ${ruleOf(issue)}, but ${found}`);
	}
	throw new ConfigError(`[${scope}] ${[...lines.values()].join('; ')}`);
}

const typeNames: Readonly<Record<string, string>> = {
	number: 'a finite number',
	int: 'a whole number',
	string: 'a text',
	boolean: 'true or false',
	array: 'a list',
	object: 'an object',
	record: 'an object',
	bigint: 'a bigint',
	null: 'null',
};
const sizeNames: Readonly<Record<string, string>> = { array: ' items', string: ' characters', set: ' items' };

/** The rule that a value broke, in words: `must be a whole number`. */
export function ruleOf(issue: z.core.$ZodIssue): string {
	switch (issue.code) {
		case 'invalid_type':
			return `must be ${typeNames[issue.expected] ?? `a ${issue.expected}`}`;
		case 'too_small':
		case 'too_big': {
			const small = issue.code === 'too_small';
			const bound = small ? issue.minimum : issue.maximum;
			if (issue.origin === 'int' && Math.abs(Number(bound)) === Number.MAX_SAFE_INTEGER)
				return 'must be a whole number that is exact (below 2^53)';
			const size = sizeNames[issue.origin];
			if (size !== undefined && small && Number(bound) === 1) return 'must not be empty';
			const relation = issue.inclusive === false ? (small ? 'above' : 'below') : small ? 'at least' : 'at most';
			return size === undefined ? `must be ${relation} ${bound}` : `must have ${relation} ${bound}${size}`;
		}
		case 'not_multiple_of':
			return `must be a multiple of ${issue.divisor}`;
		case 'invalid_value':
			return `must be ${oneOf(issue.values)}`;
		case 'invalid_union':
			return 'options' in issue && Array.isArray(issue.options)
				? `must be ${oneOf(issue.options)}`
				: `must be ${[...new Set(issue.errors.flat().map((one) => ruleOf(one).replace(/^must be /, '')))].join(' or ')}`;
		case 'unrecognized_keys':
			return `must not have ${issue.keys.map((key) => `"${key}"`).join(', ')}`;
		default:
			return issue.message;
	}
}

function oneOf(values: readonly unknown[]): string {
	const names = values.map((value) => shown(value));
	return names.length === 1 ? names[0]! : `one of ${names.join(', ')}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}
