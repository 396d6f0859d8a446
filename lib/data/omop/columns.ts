import { basename } from 'node:path';
import { DataError } from '../../errors.js';
import { identifier } from '../../files/sql-text.js';
import { isMissingWordSql } from '../missing-words.js';
import { columnsInWords } from './known-columns.js';
import type { SourceTable } from './source-table.js';
import type { Moment } from './tables.js';
import { wholeNumberSql } from './whole-number.js';

/** The types that a column can be read from. */
const readable = {
	id: /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|VARCHAR|"NULL")$/,
	number: /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|VARCHAR|"NULL")$/,
	// pandas writes a column of nulls as integers.
	date: /^(DATE|TIMESTAMP.*|VARCHAR|INTEGER|"NULL")$/,
	text: /^[^[(]*(\(\d+,\d+\))?$/,
	// As a number it has lost leading zeros, and gained decimals where one row has none.
	code: /^(VARCHAR|"NULL"|ENUM.*|UUID)$/,
} as const;

/** SQL expressions of a table's columns. A value that cannot be read is null: what that means is counted by the caller. */
export class Columns {
	readonly #source: SourceTable;

	constructor(source: SourceTable) {
		this.#source = source;
	}

	/** The first of the names that the table has. */
	find(names: readonly string[]): string | undefined {
		return names.find((name) => this.#source.types.has(name));
	}

	/** @throws {DataError} When the table has none of the columns. */
	require(...names: readonly string[]): string {
		const name = this.find(names);
		if (name !== undefined) return name;
		throw new DataError('omop', {
			file: this.#source.files.paths.map((path) => basename(path)).join(', '),
			column: names.join(' or '),
			rule: 'must be present',
			value: columnsInWords(this.#source.table, [...this.#source.types.keys()]),
		});
	}

	/** BIGINT; 0 means "none" in the CDM and becomes null. */
	conceptId(names: readonly string[]): string {
		return `nullif(${this.id(names)}, 0)`;
	}

	/** BIGINT, exactly; null where there is something else than a whole number. */
	id(names: readonly string[]): string {
		const column = this.#column(names, 'id');
		return column === undefined ? 'NULL::BIGINT' : wholeNumberSql(column, this.#type(names));
	}

	/** BOOLEAN: whether one of the columns holds something that is no whole number. */
	unreadableId(lists: readonly (readonly string[])[]): string {
		const present = lists.filter((names) => this.find(names) !== undefined);
		const tests = present.map((names) => `(${this.present(names)} AND ${this.id(names)} IS NULL)`);
		return tests.length === 0 ? 'false' : `(${tests.join(' OR ')})`;
	}

	/** DOUBLE. */
	number(names: readonly string[]): string {
		const column = this.#column(names, 'number');
		return column === undefined ? 'NULL::DOUBLE' : `TRY_CAST(${column} AS DOUBLE)`;
	}

	/** VARCHAR; a blank or a word for "missing" is null. */
	text(names: readonly string[]): string {
		const column = this.#column(names, 'text');
		return column === undefined ? 'NULL::VARCHAR' : textSql(column);
	}

	/** VARCHAR of a column that codes are made of. @throws {DataError} When it holds numbers. */
	code(names: readonly string[]): string {
		const column = this.#column(names, 'code');
		return column === undefined ? 'NULL::VARCHAR' : textSql(column);
	}

	/** BOOLEAN: whether one of the columns holds a word for "missing" that is read as none. */
	missingWord(lists: readonly (readonly string[])[]): string {
		const texts = lists.map((names) => this.find(names)).filter((name) => name !== undefined);
		const tests = texts
			.filter((name) => this.#source.types.get(name) === 'VARCHAR')
			.map((name) => `coalesce(${isMissingWordSql(identifier(name))}, false)`);
		return tests.length === 0 ? 'false' : `(${tests.join(' OR ')})`;
	}

	/** BOOLEAN: whether anything is there, readable or not. */
	present(names: readonly string[]): string {
		const name = this.find(names);
		if (name === undefined) return 'false';
		// Numbers and times as text cost more than all the rest of a row.
		return this.#source.types.get(name) === 'VARCHAR'
			? `${textSql(identifier(name), true)} IS NOT NULL`
			: `${identifier(name)} IS NOT NULL`;
	}

	/** TIMESTAMP: a datetime as it is written, or null where only a date is. */
	datetime(names: readonly string[]): string {
		const { column, type } = this.#date(names);
		if (column === undefined || type === 'DATE' || type === 'INTEGER' || type === '"NULL"') return 'NULL::TIMESTAMP';
		if (type === 'VARCHAR') {
			return `CASE WHEN length(trim(${column})) > 10 THEN TRY_CAST(trim(${column}) AS TIMESTAMP) END`;
		}
		// The wall clock of UTC, without asking for the time zone of this machine.
		if (type === 'TIMESTAMP WITH TIME ZONE') return `make_timestamp(epoch_us(${column}))`;
		return `TRY_CAST(${column} AS TIMESTAMP)`;
	}

	/** TIMESTAMP: midnight of the day. */
	day(names: readonly string[]): string {
		const { column, type } = this.#date(names);
		if (column === undefined || type === 'INTEGER' || type === '"NULL"') return 'NULL::TIMESTAMP';
		const moment = type === 'TIMESTAMP WITH TIME ZONE' ? `make_timestamp(epoch_us(${column}))` : trimmed(column, type);
		return `date_trunc('day', TRY_CAST(${moment} AS TIMESTAMP))`;
	}

	/** TIMESTAMP: the last second of the day. */
	endOfDay(names: readonly string[]): string {
		return `${this.day(names)} + INTERVAL 86399 SECOND`;
	}

	/** TIMESTAMP: the datetime, else the last second of the date. */
	moment({ datetime, date }: Moment): string {
		return `coalesce(${this.datetime(datetime)}, ${this.endOfDay(date)}, ${this.endOfDay(datetime)})`;
	}

	#type(names: readonly string[]): string {
		return this.#source.types.get(this.find(names)!)!;
	}

	#date(names: readonly string[]): { column: string | undefined; type: string } {
		const column = this.#column(names, 'date');
		const name = this.find(names);
		return { column, type: name === undefined ? '' : this.#source.types.get(name)! };
	}

	#column(names: readonly string[], role: keyof typeof readable): string | undefined {
		const name = this.find(names);
		if (name === undefined) return undefined;
		const type = this.#source.types.get(name)!;
		if (!readable[role].test(type)) {
			throw new DataError('omop', {
				file: this.#source.files.paths.map((path) => basename(path)).join(', '),
				column: name,
				rule: `must be ${roleNames[role]}`,
				value: type,
				fix:
					role === 'code'
						? 'export it as text: as a number a code loses leading zeros and gains decimals'
						: 'cast the column when exporting',
			});
		}
		return identifier(name);
	}
}

const roleNames = { id: 'an integer', number: 'a number', date: 'a date', text: 'a text', code: 'a text' } as const;

function textSql(column: string, ofNumbers = false): string {
	const text = `trim(${column}::VARCHAR)`;
	return `CASE WHEN ${text} <> '' AND NOT ${isMissingWordSql(text, ofNumbers)} THEN ${text} END`;
}

function trimmed(column: string, type: string): string {
	return type === 'VARCHAR' ? `trim(${column})` : column;
}
