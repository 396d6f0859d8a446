import type { DataError } from '../../errors.js';
import type { Offender, Rule } from './rule.js';

/**
 * Which rows a rule sees, with what beside them: `rows` each alone; `ordered` with the row before it; `timed` with the
 * timed row before it; `lived` with its subject's birth and death.
 */
export type EventSource = 'rows' | 'ordered' | 'timed' | 'lived';

/** A rule on the events of one file, as a condition in SQL that is true where it is broken. */
export interface EventRule extends Rule {
	readonly source: EventSource;
	readonly condition: string;
	/** The offending value, as SQL text. */
	readonly value: string;
}

const time = 'make_timestamp(time)::VARCHAR';

/** @param maxCodeLength - Characters of the longest code that is not reported. */
export function eventRules(maxCodeLength: number): readonly EventRule[] {
	return [
		{
			name: 'subject-null',
			severity: 'error',
			basis: 'meds-0.4',
			unit: 'rows',
			message: 'subject_id must not be null',
			source: 'rows',
			condition: 'subject_id IS NULL',
			value: "'null'",
		},
		{
			name: 'subject-negative',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message: 'subject_id is negative',
			source: 'rows',
			condition: 'subject_id < 0',
			value: 'subject_id::VARCHAR',
		},
		{
			name: 'code-null',
			severity: 'error',
			basis: 'meds-0.4',
			unit: 'rows',
			message: 'code must not be null',
			source: 'rows',
			condition: 'code IS NULL',
			value: "'null'",
		},
		{
			name: 'code-empty',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message: 'code is empty or blank',
			source: 'rows',
			condition: "trim(code) = ''",
			value: "'\"' || code || '\"'",
		},
		{
			name: 'code-long',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message: `code is longer than ${maxCodeLength} characters: perhaps it holds text`,
			source: 'rows',
			condition: `length(code) > ${maxCodeLength}`,
			value: "length(code)::VARCHAR || ' characters'",
		},
		{
			name: 'value-not-finite',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message: 'numeric_value is NaN or infinite; it is read as no value',
			fix: 'write null',
			source: 'rows',
			condition: 'numeric_value IS NOT NULL AND NOT isfinite(numeric_value)',
			value: 'numeric_value::VARCHAR',
		},
		{
			name: 'value-range',
			severity: 'error',
			basis: 'meds-0.4',
			unit: 'rows',
			message: 'numeric_value must fit a 32-bit float',
			source: 'rows',
			condition: 'isfinite(numeric_value) AND abs(numeric_value) > 3.4028234663852886e38',
			value: 'numeric_value::VARCHAR',
		},
		{
			name: 'time-infinite',
			severity: 'error',
			basis: 'data-quality',
			unit: 'rows',
			message: 'time must be finite: an infinite one would be read as static',
			fix: 'write null for a static event',
			source: 'rows',
			condition: 'time IS NULL AND NOT is_static',
			value: "'infinity'",
		},
		{
			name: 'static-first',
			severity: 'warning',
			basis: 'older-meds',
			unit: 'places',
			message: 'static rows (null time) follow timed rows of their subject; MEDS 0.4 shows them first',
			fix: 'sort each subject by time, nulls first',
			source: 'ordered',
			condition: 'is_static AND subject_id = previous_subject AND NOT previous_static',
			value: 'code',
		},
		{
			name: 'time-order',
			severity: 'error',
			basis: 'meds-0.4',
			unit: 'places',
			message: 'time must not go backwards within a subject',
			fix: 'sort each subject by time',
			source: 'timed',
			condition: 'subject_id = previous_subject AND time < previous_time',
			value: `${time} || ' after ' || make_timestamp(previous_time)::VARCHAR`,
		},
		{
			name: 'before-birth',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message: "time is before the subject's birth (MEDS_BIRTH, or another code of it)",
			source: 'lived',
			condition: 'time < birth',
			value: `${time} || ' before ' || make_timestamp(birth)::VARCHAR`,
		},
		{
			name: 'after-death',
			severity: 'warning',
			basis: 'data-quality',
			unit: 'rows',
			message:
				"time is after the subject's death (MEDS_DEATH, or another code of it; a death that is only a date lies at its midnight)",
			source: 'lived',
			condition: 'time > death',
			value: `${time} || ' after ' || make_timestamp(death)::VARCHAR`,
		},
	];
}

export const duplicateRule: Rule = {
	name: 'duplicate-row',
	severity: 'warning',
	basis: 'data-quality',
	unit: 'rows',
	message: 'a row repeats another in every column',
};

export const encodingRule: Rule = {
	name: 'text-utf8',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'columns',
	message: 'text must be UTF-8; a column that is not cannot be read, nor its further rows be counted',
	fix: 'convert the text where the file is written',
};

export const hiddenRule: Rule = {
	name: 'hidden-file',
	severity: 'warning',
	basis: 'data-quality',
	unit: 'files',
	message: 'a parquet file is hidden (its name or a folder of it begins with . or _) and is not read',
	fix: 'remove it, or rename it if it holds data',
};

export const readableRule: Rule = {
	name: 'file-readable',
	severity: 'error',
	basis: 'meds-0.4',
	unit: 'files',
	message: 'must be a whole parquet file',
};
/** Where and why a file cannot be read, for a finding. */
export function unreadable({ column, rule, value }: DataError): Partial<Offender> {
	return { ...(column === undefined ? {} : { column }), value: value === undefined ? rule : `${rule}, not ${value}` };
}
