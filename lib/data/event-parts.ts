import { relative, sep } from 'node:path';
import type { DuckDBVarCharVector } from '@duckdb/node-api';
import { DataError } from '../errors.js';
import { nameInDuckdb, parquetFiles, parquetFooters } from '../files/duckdb-files.js';
import { noTime, type Split } from '../types.js';
import { subjectApart } from './check-events.js';
import { float32Items, int32Items, int64Words } from './column-items.js';
import { type EventLayout, eventsSql, layoutsOf, type TextColumn } from './event-columns.js';
import type { MedsFiles } from './meds.js';
import { type Database, quoted } from './query.js';
import { folderSplit } from './splits.js';

/** A piece of a MEDS data set that holds whole patients: several small files, or a range of subjects of a large one. */
export interface EventPart {
	readonly files: readonly string[];
	/** subject_id from the first to before the last, as text; null has no bound. Absent: all. */
	readonly subjects?: readonly [from: string | null, until: string | null];
	/** About how many events. */
	readonly events: number;
	/** The split that the folder of its files is named after. */
	readonly folder: Split | undefined;
}

/** What the data set holds besides the columns that every MEDS file has. */
export interface EventColumnsPresent {
	readonly text: boolean;
	readonly unit: boolean;
	readonly table: boolean;
}

/** Everything that threads need to read parts; strings are numbers by these lists. */
export interface EventSource {
	/** Files and the columns that each has. */
	readonly layouts: readonly EventLayout[];
	/** Parquet file with the columns kind (code, unit, table), id, name. */
	readonly names: string;
}

/** A run of events in the order of the file. */
export interface EventBlock {
	readonly count: number;
	/** (2 x count,) words of subject_id, low first. */
	readonly subjects: Int32Array;
	/** (2 x count,) words of the time in microseconds; those of `noTime` for static events. */
	readonly times: Int32Array;
	/** Index into the names of codes. */
	readonly codes: Int32Array;
	/** NaN where there is no finite value. */
	readonly values: Float32Array;
	/** Index into the names, -1 for none; absent without such a column. */
	readonly units?: Int32Array | undefined;
	readonly tables?: Int32Array | undefined;
	readonly texts?: DuckDBVarCharVector | undefined;
}

/** Which columns a reader asks for. */
export interface EventFields {
	readonly times?: boolean;
	readonly texts?: boolean;
	readonly tables?: boolean;
}

/** Events of a part, at least: a sixteenth of a small data set, so that threads end at about the same time, or a million. */
function defaultPartSize(events: number): number {
	return Math.min(1_000_000, Math.max(100_000, Math.ceil(events / 16)));
}

/** Which of the optional columns the files have. */
export function presentColumns(layouts: readonly EventLayout[]): EventColumnsPresent {
	const has = (name: string) => layouts.some(({ columns }) => Object.hasOwn(columns, name));
	return { text: has('text_value'), unit: has('unit') || has('units'), table: has('table') };
}

/**
 * Cuts the files into parts at the borders of row groups, by their smallest and largest subject_id. A file whose row groups
 * are not ascending is one part: reading a part goes on row by row, so its size is no matter of memory.
 */
export async function planParts(
	database: Database,
	{ directory, files, layouts }: MedsFiles,
	eventsPerPart?: number,
): Promise<EventPart[]> {
	const rows = [];
	for (const layout of layouts) {
		rows.push(
			...(await database.rows(
				`SELECT file_name, row_group_num_rows::BIGINT AS n, stats_min_value AS low, stats_max_value AS high
				FROM ${parquetFooters('metadata', layout.files)}
				WHERE path_in_schema = ${quoted(layout.columns.subject_id!)} ORDER BY file_name, row_group_id`,
			)),
		);
	}
	const folderOf = (path: string): EventPart['folder'] => folderSplit(relative(directory, path).split(sep).join('/'));
	const groups = new Map<string, { n: number; low: bigint | undefined; high: bigint | undefined }[]>();
	const bound = (value: unknown) => (/^-?\d+$/.test(String(value)) ? BigInt(String(value)) : undefined);
	for (const { file_name, n, low, high } of rows) {
		const list = groups.get(String(file_name)) ?? [];
		if (Number(n) > 0) list.push({ n: Number(n), low: bound(low), high: bound(high) });
		groups.set(String(file_name), list);
	}
	const all = rows.reduce((sum, { n }) => sum + Number(n), 0);
	const rowsPerPart = eventsPerPart ?? defaultPartSize(all);
	const parts: EventPart[] = [];
	let small: { files: string[]; events: number; folder: EventPart['folder'] } = {
		files: [],
		events: 0,
		folder: undefined,
	};
	const flush = (folder?: EventPart['folder']) => {
		if (small.files.length > 0) parts.push(small);
		small = { files: [], events: 0, folder };
	};
	for (const file of files) {
		const folder = folderOf(file);
		if (folder !== small.folder) flush(folder);
		const list = groups.get(nameInDuckdb(file)) ?? [];
		const events = list.reduce((sum, { n }) => sum + n, 0);
		if (events < rowsPerPart) {
			if (small.events + events > rowsPerPart) flush(folder);
			small.files.push(file);
			small.events += events;
			continue;
		}
		flush(folder);
		const ascending = list.every(
			({ low, high }, i) => low !== undefined && high !== undefined && (i === 0 || list[i - 1]!.high! <= low),
		);
		if (!ascending) {
			parts.push({ files: [file], events, folder });
			continue;
		}
		let from: string | null = null;
		let size = 0;
		for (const [i, { n, high }] of list.entries()) {
			size += n;
			// A part ends before the last subject of a group, who may go on in the next one.
			const until: string | null = i + 1 === list.length ? null : high!.toString();
			if (until !== null && (size < rowsPerPart || (from !== null && BigInt(until) <= BigInt(from)))) continue;
			parts.push({ files: [file], subjects: [from, until], events: size, folder });
			from = until;
			size = 0;
		}
	}
	flush();
	return parts;
}

/** Makes the lists of names known to a database, once for each thread. */
export async function loadNames(database: Database, { names }: EventSource): Promise<Record<NameKind, string[]>> {
	const result: Record<NameKind, string[]> = { code: [], unit: [], table: [] };
	for (const kind of nameKinds) {
		const rows = await database.rows(`SELECT name FROM ${parquetFiles(names)} WHERE kind = '${kind}' ORDER BY id`);
		result[kind] = rows.map((row) => String(row.name));
		// A column of nulls alone has no names, and its type must be there all the same.
		if (rows.length === 0) {
			await database.run(`CREATE TYPE ${kind}_names AS ENUM ('')`);
			continue;
		}
		// An ENUM turns strings into numbers within the scan and, unlike a join, never changes the order of rows.
		await database.run(
			`CREATE TYPE ${kind}_names AS ENUM (SELECT name FROM ${parquetFiles(names)} WHERE kind = '${kind}' ORDER BY id)`,
		);
	}
	return result;
}

const nameKinds = ['code', 'unit', 'table'] as const;
export type NameKind = (typeof nameKinds)[number];

/** Subjects of a part, in no order. */
export async function* partSubjects(
	database: Database,
	{ layouts }: EventSource,
	part: EventPart,
): AsyncGenerator<Int32Array> {
	const events = eventsSql({ layouts: layoutsOf(layouts, part.files) });
	const sql = `SELECT DISTINCT subject_id FROM (${events})${restriction(part)}`;
	for await (const chunk of database.stream(sql)) yield int64Words(chunk, 0);
}

/**
 * A subject at the end of one file and at the start of the next would pass for one patient. Subjects of several parts are
 * compared where the store is put together.
 *
 * @throws {DataError}
 */
export async function checkOneFilePerSubject(
	database: Database,
	{ layouts }: EventSource,
	{ files }: EventPart,
): Promise<void> {
	if (files.length < 2) return;
	const events = eventsSql({ layouts: layoutsOf(layouts, files) });
	const [divided] = await database.rows(
		`SELECT subject_id, string_agg(filename, ' and ' ORDER BY filename) AS files FROM (SELECT DISTINCT subject_id, filename FROM (${events}))
		GROUP BY subject_id HAVING count(*) > 1 ORDER BY subject_id LIMIT 1`,
	);
	if (divided === undefined) return;
	throw subjectApart(String(divided.files), `subject ${divided.subject_id} in each`);
}

/**
 * Events of a part in the order of its files.
 *
 * @throws {DataError} When a file is gone.
 */
export async function* readPart(
	database: Database,
	{ layouts }: EventSource,
	part: EventPart,
	fields: EventFields,
	signal?: AbortSignal,
): AsyncGenerator<EventBlock> {
	const present = presentColumns(layouts);
	const texts: TextColumn[] = [
		...(present.unit ? (['unit'] as const) : []),
		...(fields.tables && present.table ? (['table'] as const) : []),
		...(fields.texts && present.text ? (['text_value'] as const) : []),
	];
	const events = eventsSql({ layouts: layoutsOf(layouts, part.files) }, texts);
	const named = (kind: NameKind, column: string) => `coalesce(enum_code(${column}::${kind}_names)::INTEGER, -1)`;
	const columns = [
		`coalesce(subject_id, ${noTime})`,
		named('code', 'code'),
		"coalesce(value, 'nan'::FLOAT)",
		fields.times ? `coalesce(time, ${noTime})` : undefined,
		texts.includes('unit') ? named('unit', "nullif(unit, '')") : undefined,
		texts.includes('table') ? named('table', `nullif("table", '')`) : undefined,
		texts.includes('text_value') ? 'text_value' : undefined,
	];
	const asked = columns.filter((column) => column !== undefined);
	const place = (index: number) => asked.indexOf(columns[index]!);
	const int32 = (chunk: Parameters<typeof int32Items>[0], index: number) =>
		columns[index] === undefined ? undefined : int32Items(chunk, place(index));
	try {
		for await (const chunk of database.stream(
			`SELECT ${asked.join(', ')} FROM (${events})${restriction(part)}`,
			signal,
		)) {
			yield {
				count: chunk.rowCount,
				subjects: int64Words(chunk, 0),
				codes: int32Items(chunk, 1),
				values: float32Items(chunk, 2),
				times: fields.times ? int64Words(chunk, place(3)) : new Int32Array(0),
				units: int32(chunk, 4),
				tables: int32(chunk, 5),
				texts: columns[6] === undefined ? undefined : (chunk.getColumnVector(place(6)) as DuckDBVarCharVector),
			};
		}
	} catch (cause) {
		if (!(cause instanceof DataError) || signal?.aborted) throw cause;
		throw new DataError(
			'prepare',
			{
				file: part.files.length === 1 ? part.files[0]! : `${part.files[0]} to ${part.files.at(-1)}`,
				rule: 'must stay readable until prepare ends',
				value: cause.value ?? cause.message,
				fix: 'put the file back, or run prepare again on the data as they are now',
			},
			{ cause },
		);
	}
}

function restriction({ subjects }: EventPart): string {
	if (subjects === undefined) return '';
	const [from, until] = subjects;
	const bounds = [
		...(from === null ? [] : [`subject_id >= ${from}`]),
		...(until === null ? [] : [`subject_id < ${until}`]),
	];
	return bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
}
