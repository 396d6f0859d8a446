import type { DuckDBIntegerVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { quoted } from '../data/query.js';
import { sampleKey } from '../tasks/read.js';
import type { IndexOrigin } from '../tasks/read-index-rules.js';
import { type BaselineInput, eachAge, withBaselineTables } from './baseline-tables.js';

/** SQL of codes that say the sex: `GENDER//F`, `Gender/F`, `SEX//female`. */
export const sexCodeSql = "regexp_matches(code, '^(gender|sex)(//|/|:)', 'i')";

/** Lower ends of age bands in years, and what they are called. */
const ageBands: readonly (readonly [from: number, name: string])[] = [
	[-1, 'below 18'],
	[18, '18 to 44'],
	[45, '45 to 64'],
	[65, '65 to 74'],
	[75, '75 and above'],
];

/** One way to divide samples, such as by sex. A sample may lie in several groups of an anchor, and in none. */
export interface Division {
	/** `rule`, `sex`, `age`, `days since <rule>`, or the beginning of a code. */
	readonly by: string;
	/** Groups in the order of tables. */
	readonly groups: readonly string[];
	/** Groups of each index date, by sample. */
	readonly of: ReadonlyMap<string, readonly string[]>;
}

/**
 * Divides index dates by index rule, days since an anchor, sex, age band, and codes that begin with given texts and were known then.
 * A division in which every sample is alike says nothing and is left out.
 */
export async function divide(
	input: BaselineInput,
	origins: ReadonlyMap<string, readonly IndexOrigin[]>,
	codePrefixes: readonly string[],
): Promise<Division[]> {
	const byRule = new Map([...origins].map(([key, found]) => [key, [...new Set(found.map(({ rule }) => rule))]]));
	const divisions: Division[] = [{ by: 'rule', groups: sortedGroups(byRule), of: byRule }];
	const anchors = new Set([...origins.values()].flat().flatMap((at) => (at.daysSinceAnchor === null ? [] : [at.rule])));
	for (const rule of [...anchors].sort()) {
		const days = new Map(
			[...origins].map(([key, found]) => [
				key,
				found.filter((at) => at.rule === rule && at.daysSinceAnchor !== null).map((at) => String(at.daysSinceAnchor)),
			]),
		);
		const groups = sortedGroups(days).sort((a, b) => Number(a) - Number(b));
		divisions.push({ by: `days since ${rule}`, groups, of: days });
	}
	await withBaselineTables(input, async (database) => {
		const keys = input.indexDates.map(sampleKey);
		const codes = async (by: string, condition: string, nameOf: (code: string) => string) => {
			const of = new Map<string, string[]>();
			// The first of several, so that a sample is in one group.
			const known = `SELECT i.i, min(e.code) AS code FROM index_dates i JOIN events e ON e.subject_id = i.subject_id
				AND (e.time IS NULL OR e.time <= i.t) WHERE ${condition} GROUP BY i.i`;
			for await (const chunk of database.stream(known, input.signal)) {
				const rows = chunk.getColumnVector(0) as DuckDBIntegerVector;
				const names = chunk.getColumnVector(1) as DuckDBVarCharVector;
				for (let row = 0; row < chunk.rowCount; row++) of.set(keys[rows.getItem(row)!]!, [nameOf(names.getItem(row)!)]);
			}
			divisions.push({ by, groups: sortedGroups(of), of });
		};
		await codes('sex', sexCodeSql, (code) => code.replace(/^\w+(\/\/|\/|:)/, ''));
		const ages = new Map<string, string[]>();
		await eachAge(
			database,
			input.lifeCodes,
			(row, years) => ages.set(keys[row]!, [ageBands.findLast(([from]) => years >= from)?.[1] ?? ageBands[0]![1]]),
			input.signal,
		);
		const found = new Set([...ages.values()].flat());
		divisions.push({ by: 'age', groups: ageBands.map(([, name]) => name).filter((name) => found.has(name)), of: ages });
		for (const prefix of codePrefixes)
			await codes(prefix, `starts_with(code, ${quoted(prefix)})`, (code) => code.slice(prefix.length) || code);
	});
	return divisions.filter(({ groups }) => groups.length > 1);
}

function sortedGroups(of: ReadonlyMap<string, readonly string[]>): string[] {
	return [...new Set([...of.values()].flat())].sort();
}
