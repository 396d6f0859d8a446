import { microsecondsPerDay } from '../types.js';

/**
 * SQL: whole days in microseconds, rounded down. DuckDB's `//` rounds towards zero, which puts every time before 1970 on
 * the day after its own; nothing else in lib/ divides times in SQL (test/regression/days-before-1970.test.ts).
 */
export function floorDaysSql(microseconds: string): string {
	const day = microsecondsPerDay;
	return `((${microseconds}) - (((${microseconds}) % ${day}) + ${day}) % ${day}) // ${day}`;
}
