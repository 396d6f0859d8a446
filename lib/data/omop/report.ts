import type { Split } from '../../types.js';

/** Why a row became no event, in the order in which it is asked. */
export const dropReasons = [
	'null-person',
	'unreadable-person',
	'unknown-person',
	'not-recorded',
	'no-date',
	'unreadable-date',
	'date-out-of-range',
	'repeated-death',
	'no-concept',
	'unmapped',
] as const;
type DropReason = (typeof dropReasons)[number];

/** What is unusual about a row that was kept. */
export const remarks = [
	'before-birth',
	'after-death',
	'end-before-start',
	'unreadable-end',
	'unreadable-datetime',
	'midnight',
	'unreadable-value',
	'value-not-finite',
	'value-from-source',
	'comparison',
	'missing-word',
	'unreadable-id',
] as const;
export type Remark = (typeof remarks)[number];

/** Where the code of a row came from. */
export const codeOrigins = ['fixed', 'source-concept', 'concept', 'default-concept', 'source-value'] as const;
export type CodeOrigin = (typeof codeOrigins)[number];

/** What became of the rows of one table; a table that gives several kinds of events has an entry for each. */
export interface OmopTableCounts {
	readonly table: string;
	/** `birth`, `gender`, `discharge` ... of a table with several kinds of events. */
	readonly part?: string;
	readonly rowsIn: number;
	/** Events. `rowsIn` is `rowsOut` and all of `dropped`. */
	readonly rowsOut: number;
	readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
	/** Rows that were kept all the same. */
	readonly remarks: Readonly<Partial<Record<Remark, number>>>;
	readonly codes: Readonly<Partial<Record<CodeOrigin, number>>>;
	/** Rows that name a concept, and those of them with one that CONCEPT does not have: the next origin was taken. */
	readonly namedConcepts: number;
	readonly unknownConcepts: number;
}

export interface OmopCdm {
	/** `5.3`, `5.4`, or null where neither CDM_SOURCE nor the columns tell. */
	readonly version: string | null;
	readonly versionFrom: 'cdm_source' | 'columns' | 'unknown';
	readonly name: string | null;
	readonly releaseDate: string | null;
	readonly vocabularyVersion: string | null;
}

/** Result of `importOmop`, also written to metadata/omop-import.json. */
export interface OmopImportReport {
	readonly cdm: OmopCdm;
	readonly etl: { readonly name: string; readonly version: string };
	readonly options: Readonly<Record<string, unknown>>;
	/** Persons of PERSON; each is a subject. */
	readonly persons: number;
	/** Persons with neither a static nor a timed event. */
	readonly personsWithoutEvents: number;
	readonly splits: Readonly<Record<Split, number>>;
	readonly events: number;
	/** Distinct codes, and those without a description. */
	readonly codes: number;
	readonly codesWithoutDescription: number;
	readonly files: number;
	readonly tables: readonly OmopTableCounts[];
	/** Tables with rows that are not imported; null: the files could not be counted. */
	readonly skipped: readonly { readonly table: string; readonly rows: number | null; readonly reason: string }[];
	/** How the CSV files of each table are written, as it was found out. */
	readonly csv: Readonly<Record<string, readonly string[]>>;
	/** Tables that would be imported and are not there. */
	readonly absent: readonly string[];
	readonly notes: readonly string[];
}

/** Bit of a remark or number of a reason in the staged rows. */
export function bitOf(remark: Remark): number {
	return 1 << remarks.indexOf(remark);
}

/** Share of rows that were lost; what is not recorded was not there to lose. */
export function lostShare({ rowsIn, dropped }: OmopTableCounts): number {
	const lost = Object.entries(dropped).reduce((sum, [reason, n]) => sum + (reason === 'not-recorded' ? 0 : n), 0);
	return rowsIn === 0 ? 0 : lost / rowsIn;
}
