import type { Database } from '../query.js';
import { codedRows } from './concepts.js';
import type { ImportOmopOptions } from './options.js';
import { bitOf, type CodeOrigin, codeOrigins, dropReasons, type OmopTableCounts, remarks } from './report.js';
import type { OmopEvents } from './tables.js';

const originSql: Readonly<Record<CodeOrigin, string>> = {
	fixed: 'has_fixed_code',
	'source-concept': 'source_code IS NOT NULL',
	concept: 'source_code IS NULL AND concept_code IS NOT NULL AND NOT is_default',
	'default-concept': 'source_code IS NULL AND concept_code IS NOT NULL AND is_default',
	'source-value': 'source_code IS NULL AND concept_code IS NULL AND code IS NOT NULL AND NOT has_fixed_code',
};

/**
 * Counts what became of the staged rows of one kind of events.
 *
 * @param staged - Absent: the table is empty.
 */
export async function countTable(
	database: Database,
	staged: string | undefined,
	{ table, part }: OmopEvents,
	unmapped: ImportOmopOptions['unmapped'],
): Promise<OmopTableCounts> {
	const counts = {
		rows: 'true',
		// Without a source value nothing is left to make a code of.
		noConcept: 'reason IS NULL AND code IS NULL AND last_code IS NULL',
		unmapped: 'reason IS NULL AND code IS NULL AND last_code IS NOT NULL',
		named: 'reason IS NULL AND (source_concept IS NOT NULL OR concept IS NOT NULL) AND NOT is_default',
		unknown: `reason IS NULL AND NOT is_default AND ((source_concept IS NOT NULL AND source_code IS NULL) OR
			(source_code IS NULL AND concept IS NOT NULL AND concept_code IS NULL))`,
		...Object.fromEntries(dropReasons.map((reason, i) => [`reason ${reason}`, `reason = ${i}`])),
		...Object.fromEntries(remarks.map((remark) => [`remark ${remark}`, `kept AND remarks & ${bitOf(remark)} <> 0`])),
		...Object.fromEntries(codeOrigins.map((origin) => [`code ${origin}`, `kept AND ${originSql[origin]}`])),
	};
	const [row] =
		staged === undefined
			? []
			: await database.rows(
					`SELECT ${Object.entries(counts)
						.map(([name, condition]) => `(count(*) FILTER (${condition}))::DOUBLE AS "${name}"`)
						.join(', ')}
		FROM (SELECT *, reason IS NULL AND code IS NOT NULL AS kept FROM (${codedRows(staged, unmapped)}))`,
				);
	const count = (name: string) => Number(row?.[name] ?? 0);
	const list = <Name extends string>(names: readonly Name[], amount: (name: Name) => number) =>
		Object.fromEntries(names.map((name) => [name, amount(name)] as const).filter(([, n]) => n > 0)) as Partial<
			Record<Name, number>
		>;
	const dropped = list(dropReasons, (reason) => {
		const later = reason === 'no-concept' ? count('noConcept') : reason === 'unmapped' ? count('unmapped') : 0;
		return count(`reason ${reason}`) + later;
	});
	const rowsIn = count('rows');
	return {
		table,
		...(part === undefined ? {} : { part }),
		rowsIn,
		rowsOut: rowsIn - Object.values(dropped).reduce((sum, n) => sum + n, 0),
		dropped,
		remarks: list(remarks, (remark) => count(`remark ${remark}`)),
		codes: list(codeOrigins, (origin) => count(`code ${origin}`)),
		namedConcepts: count('named'),
		unknownConcepts: count('unknown'),
	};
}
