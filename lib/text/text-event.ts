import { DataError } from '../errors.js';
import { kindOf } from '../found.js';
import type { Microseconds } from '../types.js';

/** One event of a patient as the serialisers read it (paper.md 1.5 rule 1; the names are those of MEDS in camel case). */
export interface TextEvent {
	/** Null is static: written with the demographics. */
	readonly time: Microseconds | null;
	readonly code: string;
	/** What the code means, from `codes.parquet`. */
	readonly description?: string | null | undefined;
	/** NaN and infinite count as absent, as everywhere in this package. */
	readonly numericValue?: number | null | undefined;
	/** Read when there is no number. */
	readonly textValue?: string | null | undefined;
	readonly unit?: string | null | undefined;
	/** Source table, as in OMOP-made MEDS: `measurement`, `drug_exposure`. Gives the category. */
	readonly table?: string | null | undefined;
}

/** Names under which values arrive and would silently be lost: the authors' own examples did so (paper.md 1.5, pitfalls). */
const misnamed: readonly (readonly [string, keyof TextEvent])[] = [
	['value', 'numericValue'],
	['numeric_value', 'numericValue'],
	['text_value', 'textValue'],
];

/**
 * Refuses an event that would lose its value or its place in time.
 *
 * @param index - Place in the caller's array, for the message; never a value of the patient.
 * @throws {DataError} Names event, field, rule and fix.
 */
export function checkTextEvent(event: TextEvent, index: number): void {
	if ('value' in event || 'numeric_value' in event || 'text_value' in event) {
		const [found, expected] = misnamed.find(([name]) => name in event)!;
		throw new DataError('text', {
			file: `event ${index}`,
			column: found,
			rule: `must be called ${expected}, or every value would be lost`,
			fix: 'rename the field',
		});
	}
	const { time, code, numericValue } = event;
	if (time !== null && typeof time !== 'bigint') {
		throw new DataError('text', {
			file: `event ${index}`,
			column: 'time',
			rule: 'must be a bigint of microseconds since 1970-01-01, or null for a static event,',
			value: kindOf(time),
		});
	}
	if (typeof code !== 'string' || code === '') {
		throw new DataError('text', {
			file: `event ${index}`,
			column: 'code',
			rule: 'must be a text that is not empty',
			value: code === '' ? 'an empty one' : kindOf(code),
		});
	}
	if (numericValue !== undefined && numericValue !== null && typeof numericValue !== 'number') {
		throw new DataError('text', {
			file: `event ${index}`,
			column: 'numericValue',
			rule: 'must be a number, or the value would be lost',
			value: kindOf(numericValue),
			fix: 'convert the column to float32, and put texts into textValue',
		});
	}
}
