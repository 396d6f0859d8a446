/** How the cells of a CSV file are told apart. */
export interface CsvDialect {
	readonly delimiter: string;
	/** `none`: a quote is an ordinary character, as in OHDSI's vocabulary files. */
	readonly quoting: 'doubled' | 'backslash' | 'none';
}

export type LineEnds = 'lf' | 'crlf' | 'cr' | 'mixed';

/** Where a file breaks its dialect. Lines count from 1. */
export interface CsvFault {
	readonly line: number;
	/** Cells found; 0: a quote that is not closed, or text after a closing quote. */
	readonly cells: number;
}

const [lf, cr, quote, backslash] = [0x0a, 0x0d, 0x22, 0x5c];

/**
 * Reads the bytes of a CSV file by one dialect, and stops at the first place that breaks it. Holds nothing but
 * counts.
 */
export class CsvReading {
	fault: CsvFault | undefined;
	/** Records with cells, the header among them. */
	records = 0;
	/** Bytes of the longest record. */
	longest = 0;
	/** Quotes anywhere; `\"` anywhere. */
	quotes = 0;
	backslashQuotes = 0;
	/** Quoted cells that had to be: with a delimiter, a line end or a quote inside. */
	needed = 0;
	readonly #ends = { lf: 0, crlf: 0, cr: 0 };
	/** By column: cells that are quoted, and cells with something else than NA that are not. */
	readonly #quoted: number[] = [];
	readonly #bare: number[] = [];
	readonly #delimiter: number;
	readonly #quoting: CsvDialect['quoting'];
	readonly #columns: number;
	#state: 'start' | 'bare' | 'quoted' | 'closed' | 'escaped' = 'start';
	#line = 1;
	#recordLine = 1;
	#cell = 0;
	#cellBytes = 0;
	#onlyNa = true;
	#needs = false;
	#recordBytes = 0;
	#previous = 0;
	#pendingCr = false;

	constructor({ delimiter, quoting }: CsvDialect, columns: number) {
		this.#delimiter = delimiter.charCodeAt(0);
		this.#quoting = quoting;
		this.#columns = columns;
	}

	get lineEnds(): LineEnds {
		const kinds = (['lf', 'crlf', 'cr'] as const).filter((kind) => this.#ends[kind] > 0);
		return kinds.length > 1 ? 'mixed' : (kinds[0] ?? 'lf');
	}

	/** A column in which every cell that says something is quoted: so the writer quotes, and the quotes are no text. */
	get hasQuotedColumn(): boolean {
		return this.#quoted.some((count, column) => count > 0 && (this.#bare[column] ?? 0) === 0);
	}

	push(bytes: Buffer): void {
		for (let i = 0; i < bytes.length && this.fault === undefined; i++) {
			i += this.#plainRun(bytes, i);
			if (i < bytes.length) this.#byte(bytes[i]!);
		}
	}

	finish(): void {
		if (this.fault !== undefined) return;
		if (this.#pendingCr) this.#endLine('cr');
		if (this.#state === 'quoted' || this.#state === 'escaped') this.#fail(0);
		else if (this.#recordBytes > 0) this.#endRecord();
	}

	/** Skips bytes inside a cell that mean nothing else: most of a file. @returns How many. */
	#plainRun(bytes: Buffer, from: number): number {
		const inText = this.#state === 'quoted' || (this.#state === 'bare' && this.#cellBytes > 2);
		if (!inText || this.#pendingCr) return 0;
		const delimiter = this.#delimiter;
		let i = from;
		for (; i < bytes.length; i++) {
			const byte = bytes[i]!;
			if (byte === quote || byte === delimiter || byte === lf || byte === cr || byte === backslash) break;
		}
		const count = i - from;
		if (count === 0) return 0;
		this.#previous = 0;
		this.#recordBytes += count;
		return count;
	}

	#byte(byte: number): void {
		if (this.#pendingCr) {
			this.#pendingCr = false;
			this.#endLine(byte === lf ? 'crlf' : 'cr');
			this.#previous = byte;
			if (byte === lf || this.fault !== undefined) return;
		}
		if (byte === quote) {
			this.quotes++;
			if (this.#previous === backslash) this.backslashQuotes++;
		}
		this.#previous = byte;
		this.#recordBytes++;
		switch (this.#state) {
			case 'quoted':
				if (byte === quote) this.#state = 'closed';
				else if (byte === backslash && this.#quoting === 'backslash') this.#state = 'escaped';
				else {
					if (byte === lf) this.#line++;
					if (byte === lf || byte === cr || byte === this.#delimiter) this.#needs = true;
				}
				return;
			case 'escaped':
				this.#needs = true;
				this.#state = 'quoted';
				if (byte === lf) this.#line++;
				return;
			case 'closed':
				if (byte === quote && this.#quoting === 'doubled') {
					this.#needs = true;
					this.#state = 'quoted';
				} else if (!this.#border(byte)) this.#fail(0);
				return;
			case 'start':
				if (this.#border(byte)) return;
				if (byte === quote && this.#quoting !== 'none') {
					this.#state = 'quoted';
					return;
				}
				// A blank before a quote is not part of the cell.
				if (byte === 0x20) return;
				this.#state = 'bare';
				this.#bareByte(byte);
				return;
			case 'bare':
				if (!this.#border(byte)) this.#bareByte(byte);
		}
	}

	#bareByte(byte: number): void {
		if (byte !== 'NA'.charCodeAt(this.#cellBytes)) this.#onlyNa = false;
		this.#cellBytes++;
	}

	/** Whether a byte ends a cell. */
	#border(byte: number): boolean {
		if (byte === this.#delimiter) this.#endCell();
		else if (byte === lf) this.#endLine('lf');
		else if (byte === cr) this.#pendingCr = true;
		else return false;
		return true;
	}

	#endCell(): void {
		if (this.#state === 'closed') this.#quoted[this.#cell] = (this.#quoted[this.#cell] ?? 0) + 1;
		else if (this.#cellBytes > 0 && !(this.#onlyNa && this.#cellBytes === 2))
			this.#bare[this.#cell] = (this.#bare[this.#cell] ?? 0) + 1;
		if (this.#needs) this.needed++;
		this.#cell++;
		this.#state = 'start';
		this.#cellBytes = 0;
		this.#onlyNa = true;
		this.#needs = false;
	}

	#endLine(kind: 'lf' | 'crlf' | 'cr'): void {
		this.#ends[kind]++;
		const blank = this.#cell === 0 && this.#state === 'start';
		if (!blank) this.#endRecord();
		this.#line++;
		this.#recordLine = this.#line;
		this.#recordBytes = 0;
		this.#cell = 0;
		this.#state = 'start';
	}

	#endRecord(): void {
		this.#endCell();
		this.records++;
		this.longest = Math.max(this.longest, this.#recordBytes);
		if (this.#cell !== this.#columns) this.#fail(this.#cell);
	}

	#fail(cells: number): void {
		this.fault = { line: this.#recordLine, cells };
	}
}
