import type { DuckDBIntegerVector, DuckDBVarCharVector } from '@duckdb/node-api';
import { quoted } from '../data/query.js';
import { sampleKey } from '../tasks/read.js';
import type { IndexOrigin } from '../tasks/read-index-rules.js';
import type { IndexDate } from '../types.js';
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

/** Calendar years of a band; the narrowest of which there are few enough. */
const yearWidths = [1, 2, 5, 10, 20, 50, 100] as const;
const mostYearBands = 10;

/** One way to divide samples, such as by sex. A sample may lie in several groups of an anchor, and in none. */
export interface Division {
	/** `rule`, `year`, `sex`, `age`, `days since <rule>`, or the beginning of a code. */
	readonly by: string;
	/** Groups in the order of tables. */
	readonly groups: readonly string[];
	/** Groups of each index date, by sample. */
	readonly of: ReadonlyMap<string, readonly string[]>;
}

/**
 * Divides index dates by index rule, calendar year, days since an anchor, sex, age band, and codes that begin with given texts and were known then.
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
	divisions.push(byYear(input.indexDates));
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
			(row, { completedYears }) =>
				ages.set(keys[row]!, [ageBands.findLast(([from]) => completedYears >= from)?.[1] ?? ageBands[0]![1]]),
			input.signal,
		);
		const found = new Set([...ages.values()].flat());
		divisions.push({ by: 'age', groups: ageBands.map(([, name]) => name).filter((name) => found.has(name)), of: ages });
		for (const prefix of new Set(codePrefixes))
			await codes(prefix, `starts_with(code, ${quoted(prefix)})`, (code) => code.slice(prefix.length) || code);
	});
	return divisions.filter(({ groups }) => groups.length > 1);
}

/** Index dates by calendar year (UTC), or by bands of years where there are many: MIMIC moves each patient to another century. */
function byYear(indexDates: BaselineInput['indexDates']): Division {
	const years = indexDates.map(({ predictionTime }) =>
		new Date(Math.floor(Number(predictionTime) / 1000)).getUTCFullYear(),
	);
	const bandOf = (year: number, width: number) => Math.floor(year / width) * width;
	const width =
		yearWidths.find((each) => new Set(years.map((year) => bandOf(year, each))).size <= mostYearBands) ??
		yearWidths.at(-1)!;
	const nameOf = (from: number) => (width === 1 ? String(from) : `${from} to ${from + width - 1}`);
	const bands = [...new Set(years.map((year) => bandOf(year, width)))].sort((a, b) => a - b);
	return {
		by: 'year',
		groups: bands.map(nameOf),
		of: new Map(indexDates.map((date, i) => [sampleKey(date), [nameOf(bandOf(years[i]!, width))]])),
	};
}

/** The parts of some samples that hold any, with the places of their samples. */
export function* partsOf(
	divisions: readonly Division[],
	samples: readonly IndexDate[],
): Generator<{ readonly by: string; readonly group: string; readonly rows: readonly number[] }> {
	const keys = samples.map(sampleKey);
	for (const { by, groups, of } of divisions) {
		for (const group of groups) {
			const rows = keys.flatMap((key, row) => (of.get(key)?.includes(group) === true ? [row] : []));
			if (rows.length > 0) yield { by, group, rows };
		}
	}
}

function sortedGroups(of: ReadonlyMap<string, readonly string[]>): string[] {
	return [...new Set([...of.values()].flat())].sort();
}
