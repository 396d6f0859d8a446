import { microsecondsPerDay } from '../types.js';

/** SQL of the whole days in a number of microseconds, rounded down: DuckDB's `//` rounds towards zero, wrong before 1970. */
export function wholeDaysSql(microseconds: string): string {
	const day = microsecondsPerDay;
	return `((${microseconds} - ((${microseconds}) % ${day} + ${day}) % ${day}) // ${day})`;
}

/** SQL of the midnight before a time, both in microseconds. */
export function midnightSql(time: string): string {
	return `(${wholeDaysSql(time)} * ${microsecondsPerDay})`;
}
