import { z } from 'zod';
import { ConfigError } from './errors.js';
import { shown } from './found.js';

/** Scalars that several option schemas use. */
export const positiveInteger = z.int().positive();
export const nonNegativeInteger = z.int().nonnegative();
export const fraction = z.number().min(0).max(1);
/** Of a file or folder; empty would stand for the working directory. */
export const filePath = z
	.string()
	.min(1, 'must be a path')
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
	const lines = result.error.issues.map((issue) => {
		const path = issue.path.length === 0 ? 'options' : issue.path.map(String).join('.');
		if (issue.code === 'unrecognized_keys')
			return `${path} has no option ${issue.keys.map((key) => `"${key}"`).join(', ')}`;
		// A rule over several fields names one of them by its path, and has the whole object as input.
		const input = issue.code === 'custom' ? valueAt(value, issue.path) : issue.input;
		const found = input === undefined ? 'it is missing' : `it is ${shown(input)}`;
		return `${path}: ${issue.message}, but ${found}`;
	});
	throw new ConfigError(`[${scope}] ${lines.join('; ')}`);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}
