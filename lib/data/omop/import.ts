import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '../../config.js';
import { AbortedError, DataError } from '../../errors.js';
import { requirePath } from '../../files/path.js';
import { hiddenNote } from '../../files/visible-files.js';
import { writeWholeFolder } from '../../files/whole.js';
import type { LongOperation } from '../../types.js';
import { interruptible } from '../interrupt.js';
import { type Database, quoted, withDatabase } from '../query.js';
import { describeCdm } from './cdm-source.js';
import { findFloatCodes, loadConcepts } from './concepts.js';
import { findTables, type TableFiles } from './files.js';
import { nearNotes } from './known-columns.js';
import { labelOf, lossNotes, refuseLoss, refuseUnknownConcepts } from './loss.js';
import { ImportOmopOptions, type ImportOmopOptionsInput } from './options.js';
import { countPersons, loadPersons, type Shard } from './persons.js';
import type { OmopImportReport, OmopTableCounts } from './report.js';
import { countRows, openSourceTable, type SourceTable } from './source-table.js';
import { stageEvents } from './stage.js';
import { Staging } from './staging.js';
import { countTable } from './table-counts.js';
import { type OmopEvents, omopEvents, skippedTables, vocabularyTables } from './tables.js';
import { writeShard } from './write-events.js';
import { etl, writeCodes, writeDatasetJson, writeReport, writeSplits } from './write-metadata.js';

/**
 * Converts an OMOP CDM 5.3 or 5.4 (CSV, gzipped CSV or parquet) to MEDS 0.4 with the conventions of meds_etl
 * (docs/omop.md). Every dropped row is counted.
 *
 * @param cdm - Folder of the CDM's tables.
 * @param out - New or empty folder; appears whole or not at all.
 * @throws {DataError} A table, a column or an id that must be there is not; too many rows would be lost.
 * @throws {ConfigError} {OutputError} {AbortedError}
 */
export async function importOmop(
	cdm: string,
	out: string,
	options: ImportOmopOptionsInput = {},
	operation: LongOperation = {},
): Promise<OmopImportReport> {
	requirePath('import-omop', 'cdm', cdm);
	requirePath('import-omop', 'out', out);
	const config = parseConfig('omop', ImportOmopOptions, options);
	const { memoryLimit, threads } = config;
	return writeWholeFolder(out, (folder) =>
		withDatabase({ memoryLimit, ...(threads === undefined ? {} : { threads }) }, async (database) => {
			// What is spilled belongs on the disk that was chosen for the output, not in a memory-backed /tmp.
			const spill = join(folder, '.spill');
			await mkdir(spill);
			await database.run(`SET temp_directory = ${quoted(spill)}`);
			await database.run('SET preserve_insertion_order = false');
			const report = await interruptible('omop', database, operation.signal, () =>
				new OmopImport(database, config, folder, operation).run(cdm),
			);
			await rm(spill, { recursive: true, force: true });
			return report;
		}),
	);
}

/** One import: its tables, and where its files are. */
class OmopImport {
	readonly #database: Database;
	readonly #options: ImportOmopOptions;
	readonly #out: string;
	readonly #staging: Staging;
	readonly #operation: LongOperation;
	readonly #hidden: string[] = [];
	readonly #csvFolder: string;

	constructor(database: Database, options: ImportOmopOptions, out: string, operation: LongOperation) {
		this.#database = database;
		this.#options = options;
		this.#out = out;
		this.#staging = new Staging(join(out, '.staging'));
		this.#csvFolder = join(out, '.csv');
		this.#operation = operation;
	}

	async run(directory: string): Promise<OmopImportReport> {
		const { tables, others } = await this.#openTables(directory);
		const person = requirePerson(tables, directory);
		const concept = this.#concept(tables, directory);
		const cdm = await describeCdm(this.#database, tables, directory);
		const shards = await loadPersons(
			this.#database,
			person,
			tables.get('death'),
			this.#options,
			this.#operation.signal,
		);
		const wanted = omopEvents.filter(({ onDemand }) => onDemand === undefined || this.#options[onDemand]);
		const imported = wanted.filter(({ table }) => tables.has(table));
		await this.#stage(imported, tables);
		const staged = this.#staging.rows()!;
		const unreadable = await loadConcepts(this.#database, staged, concept, tables.get('concept_relationship'));
		const floats = await findFloatCodes(this.#database, staged);
		const counts = await this.#count(imported);
		if (concept !== undefined) refuseUnknownConcepts(counts, this.#options.maxUnknownConcepts);
		refuseLoss(counts, this.#options.maxDropped);
		const files = await this.#write(shards, imported);
		const { codes, withoutDescription } = await writeCodes(this.#database, this.#out, files);
		await writeSplits(this.#database, this.#out);
		await writeDatasetJson(this.#out, cdm);
		const { memoryLimit: _memory, threads: _threads, ...options } = this.#options;
		const notes = [
			hiddenNote(this.#hidden),
			...nearNotes(tables),
			...(unreadable === 0
				? []
				: [`concept_relationship: ${unreadable} rows have an id that is no whole number and give no parent code`]),
			...floats.map(
				(part) =>
					`${labelOf(imported[part]!)}: all source values are whole numbers as floats write them (.0, 1e+05) and are read as whole numbers`,
			),
			...lossNotes(counts),
		].filter((note) => note !== undefined);
		for (const note of notes) this.#operation.onWarning?.(note);
		const report: OmopImportReport = {
			cdm,
			etl,
			options,
			...(await countPersons(this.#database, files)),
			events: counts.reduce((sum, { rowsOut }) => sum + rowsOut, 0),
			codes,
			codesWithoutDescription: withoutDescription,
			files: files.length,
			tables: counts,
			skipped: await this.#skipped(others),
			csv: Object.fromEntries(
				[...tables].filter(([, { forms }]) => forms.length > 0).map(([table, { forms }]) => [table, forms]),
			),
			absent: [...new Set(wanted.map(({ table }) => table))].filter((table) => !tables.has(table)),
			notes,
		};
		await writeReport(this.#out, report);
		await this.#staging.remove();
		await rm(this.#csvFolder, { recursive: true, force: true });
		return report;
	}

	/** The tables that are read, opened, and the others; those of the vocabulary from their own folder where one is given. */
	async #openTables(directory: string) {
		const found = await findTables(directory, this.#hidden);
		if (this.#options.vocabulary !== undefined) {
			const vocabulary = await findTables(this.#options.vocabulary, this.#hidden);
			for (const table of vocabularyTables) {
				const files = vocabulary.get(table);
				if (files !== undefined) found.set(table, files);
			}
		}
		const tables = new Map<string, SourceTable>();
		const others = new Map<string, TableFiles>();
		const { encoding } = this.#options;
		for (const [table, files] of found) {
			// What is not needed is not opened: a note that cannot be read is no reason to refuse the rest.
			if (this.#reasonToSkip(table) !== undefined) others.set(table, files);
			else tables.set(table, await openSourceTable(this.#database, files, { encoding, workFolder: this.#csvFolder }));
		}
		return { tables, others };
	}

	#concept(tables: ReadonlyMap<string, SourceTable>, directory: string): SourceTable | undefined {
		const concept = tables.get('concept');
		if (concept === undefined && this.#options.missingConcept === 'refuse') {
			throw new DataError('omop', {
				file: this.#options.vocabulary ?? directory,
				rule: 'must hold CONCEPT: a code is vocabulary_id/concept_code',
				value: 'no such table',
				fix: 'name the folder of the vocabulary (vocabulary, --vocabulary), or make codes of ids (missingConcept: concept-id, --missing-concept concept-id)',
			});
		}
		return concept;
	}

	async #stage(imported: readonly OmopEvents[], tables: ReadonlyMap<string, SourceTable>): Promise<void> {
		for (const [part, events] of imported.entries()) {
			this.#step('read OMOP', part, imported.length, 'tables', labelOf(events));
			const source = tables.get(events.table)!;
			await stageEvents(this.#database, source, events, part, this.#staging.folderOf(part), this.#options);
		}
		this.#step('read OMOP', imported.length, imported.length, 'tables');
		await this.#staging.list();
	}

	async #count(imported: readonly OmopEvents[]): Promise<OmopTableCounts[]> {
		const counts: OmopTableCounts[] = [];
		for (const [part, events] of imported.entries()) {
			this.#step('count', part, imported.length, 'tables', labelOf(events));
			counts.push(await countTable(this.#database, this.#staging.rows({ part }), events, this.#options.unmapped));
		}
		this.#step('count', imported.length, imported.length, 'tables');
		return counts;
	}

	/** @returns Data files, absolute. */
	async #write(shards: readonly Shard[], imported: readonly OmopEvents[]): Promise<string[]> {
		const names = imported.map(({ name }) => name);
		const files: string[] = [];
		for (const [done, shard] of shards.entries()) {
			this.#step('write MEDS', done, shards.length, 'files');
			const rows = this.#staging.rows({ shard: shard.id });
			if (rows === undefined) continue;
			files.push(await writeShard(this.#database, this.#out, shard, rows, names, this.#options.unmapped));
		}
		this.#step('write MEDS', shards.length, shards.length, 'files');
		return files;
	}

	#reasonToSkip(table: string): string | undefined {
		if (table === 'note' && !this.#options.notes) return 'imported on demand (notes, --notes)';
		return skippedTables[table];
	}

	async #skipped(others: ReadonlyMap<string, TableFiles>): Promise<OmopImportReport['skipped']> {
		const skipped: { table: string; rows: number | null; reason: string }[] = [];
		for (const table of [...Object.keys(skippedTables), 'note']) {
			const files = others.get(table);
			if (files === undefined) continue;
			const rows = await countRows(this.#database, files, this.#options.encoding);
			if (rows !== 0) skipped.push({ table, rows: rows ?? null, reason: this.#reasonToSkip(table)! });
		}
		return skipped;
	}

	/** Between queries: tells how far it is, and stops when asked to. */
	#step(stage: string, done: number, total: number, unit: string, note?: string): void {
		const { signal, onProgress } = this.#operation;
		if (signal?.aborted) throw new AbortedError('[omop] aborted', { cause: signal.reason });
		onProgress?.({ stage, done, total, unit, ...(note === undefined ? {} : { note }) });
	}
}

function requirePerson(tables: ReadonlyMap<string, SourceTable>, directory: string): SourceTable {
	const person = tables.get('person');
	if (person !== undefined) return person;
	throw new DataError('omop', {
		file: directory,
		rule: 'must hold PERSON',
		value: tables.size === 0 ? 'no table of the CDM' : [...tables.keys()].join(', '),
		fix: 'give the folder that holds person.csv, person.csv.gz, person.parquet or person/',
	});
}
