import { DataError } from '../../errors.js';
import type { Finding, Findings } from './rule.js';

/** The first error among findings, as the reader throws it. @throws {DataError} When there is one. */
export function refuseErrors(findings: Findings): void {
	const error = findings.list().find(({ severity }) => severity === 'error');
	if (error === undefined) return;
	const { first, message, fix } = error;
	throw new DataError('meds', {
		file: first.file,
		...(first.column === undefined ? {} : { column: first.column }),
		rule: `breaks the rule ${error.name}: ${message}`,
		...(first.value === undefined ? {} : { value: first.value }),
		...(fix === undefined ? {} : { fix }),
	});
}

/** Warnings in words: what was accepted although MEDS 0.4 asks for something else, how often, and where first. */
export function findingNotes(findings: Findings): string[] {
	return findings.list().map(noteOf);
}

function noteOf({ message, count, unit, first }: Finding): string {
	const place = `${first.file}${first.column === undefined ? '' : ` column ${first.column}`}`;
	return `${message} (${count} ${unit}; first ${place}${first.value === undefined ? '' : `: ${first.value}`})`;
}
