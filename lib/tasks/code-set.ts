import { z } from 'zod';
import { identifier, quoted } from '../data/query.js';

/** Some codes of a data set: those that are named, and those that begin with something. */
export const CodeSet = z.strictObject({
	exact: z.array(z.string().min(1)).default([]),
	prefix: z.array(z.string().min(1)).default([]),
});
export type CodeSet = z.output<typeof CodeSet>;

/** The same where no code at all would be a mistake. */
export const SomeCodes = CodeSet.refine((codes) => !isEmptyCodeSet(codes), {
	message: 'must name at least one code or prefix',
});

function isEmptyCodeSet({ exact, prefix }: CodeSet): boolean {
	return exact.length + prefix.length === 0;
}

/** SQL condition that is true for codes of the set; false for an empty one. */
export function codeSetSql({ exact, prefix }: CodeSet, column = 'code'): string {
	const name = identifier(column);
	const parts = [
		...(exact.length === 0 ? [] : [`${name} IN (${exact.map(quoted).join(', ')})`]),
		...prefix.map((text) => `starts_with(${name}, ${quoted(text)})`),
	];
	return parts.length === 0 ? 'false' : `(${parts.join(' OR ')})`;
}

/** The same in TypeScript. */
export function isInCodeSet({ exact, prefix }: CodeSet, code: string): boolean {
	return exact.includes(code) || prefix.some((text) => code.startsWith(text));
}

/** For people: `A, B//*`. */
export function describeCodeSet({ exact, prefix }: CodeSet): string {
	return [...exact, ...prefix.map((text) => `${text}*`)].join(', ');
}
