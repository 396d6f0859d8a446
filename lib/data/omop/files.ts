import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DataError } from '../../errors.js';
import { faultOf } from '../../files/faults.js';
import { isHidden, visibleFiles } from '../../files/visible-files.js';
import { knownTables } from './tables.js';

type TableFormat = 'csv' | 'parquet';

/** The files of one CDM table. */
export interface TableFiles {
	readonly table: string;
	readonly format: TableFormat;
	/** Absolute, sorted. */
	readonly paths: readonly string[];
}

const extension = /\.(csv|csv\.gz|parquet)$/i;

/**
 * Finds the tables of a CDM folder, upper or lower case: `<table>.csv`, `<table>.csv.gz`, `<table>.parquet`, or a folder
 * `<table>/` (or `<table>.parquet/`) of such files.
 *
 * @param hidden - Receives the files that would be tables but are hidden.
 * @throws {DataError} When the folder cannot be read, or a table is there twice.
 */
export async function findTables(directory: string, hidden: string[]): Promise<Map<string, TableFiles>> {
	const candidates = new Map<string, string[]>();
	for (const name of await entries(directory)) {
		if (isHidden(name)) {
			if (extension.test(name)) hidden.push(name);
			continue;
		}
		const table = name.replace(extension, '').toLowerCase();
		if (knownTables.includes(table)) candidates.set(table, [...(candidates.get(table) ?? []), name]);
	}
	const tables = new Map<string, TableFiles>();
	for (const [table, names] of candidates) {
		if (names.length > 1) {
			throw new DataError('omop', {
				file: directory,
				rule: `must hold ${table.toUpperCase()} once`,
				value: names.join(' and '),
				fix: 'keep one of them: its rows would be read twice',
			});
		}
		const files = await tableFiles(directory, table, names[0]!, hidden);
		if (files !== undefined) tables.set(table, files);
	}
	return tables;
}

async function entries(directory: string): Promise<string[]> {
	try {
		return (await readdir(directory)).sort();
	} catch (cause) {
		throw new DataError(
			'omop',
			{ file: directory, rule: 'must be a folder with the tables of an OMOP CDM', value: faultOf(cause) },
			{ cause },
		);
	}
}

async function tableFiles(
	directory: string,
	table: string,
	name: string,
	hidden: string[],
): Promise<TableFiles | undefined> {
	const path = join(directory, name);
	const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
		const fix = 'put the file back, or remove the link';
		throw new DataError('omop', { file: name, rule: 'must be readable', value: faultOf(cause), fix }, { cause });
	});
	if (!found.isDirectory()) {
		return extension.test(name) ? { table, format: formatOf(name), paths: [path] } : undefined;
	}
	const { files: shards, hidden: passedOver } = await visibleFiles(path, extension);
	hidden.push(...passedOver.map((shard) => `${name}/${shard}`));
	const formats = new Set(shards.map(formatOf));
	if (formats.size > 1) {
		throw new DataError('omop', {
			file: relative(directory, path),
			rule: 'must hold files of one format',
			value: 'csv and parquet',
			fix: 'keep one of them: its rows would be read twice',
		});
	}
	const [format] = formats;
	if (format === undefined) {
		throw new DataError('omop', {
			file: relative(directory, path),
			rule: 'must hold .parquet, .csv or .csv.gz files',
			value: 'none',
			fix: 'remove the folder when there is no such table',
		});
	}
	return { table, format, paths: shards.map((shard) => join(path, shard)) };
}

function formatOf(name: string): TableFormat {
	return name.toLowerCase().endsWith('.parquet') ? 'parquet' : 'csv';
}
