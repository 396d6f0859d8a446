import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { MetricsLine } from '../train/metrics.js';

/** Bytes that are read at a time, and of one call of {@link MetricsFollower.read} together. */
const chunkBytes = 2 ** 18;
const bytesPerRead = 2 ** 23;
/** No line is longer; what goes on without an end is no line. */
const longestLine = 2 ** 20;
/** Bytes before the place of reading that are compared: other ones mean that the file was written anew. */
const comparedBytes = 256;

export interface NewLines {
	readonly lines: readonly MetricsLine[];
	/** The file is another than before, or was written anew: what was read of it before holds no more. */
	readonly restarted: boolean;
	/** Lines that are none of this version. */
	readonly unreadable: number;
}

/**
 * Follows a `metrics.jsonl` that another process appends to, by reading its new bytes. A last line that is only half there waits
 * for its other half. A resumed run writes the file anew, without the lines that it makes again: reading then begins anew too.
 */
export class MetricsFollower {
	readonly path: string;
	#inode = 0n;
	#offset = 0;
	/** The newest bytes before the offset. */
	#before: Buffer<ArrayBufferLike> = Buffer.alloc(0);
	/** Of a line whose end is not there yet. */
	#half: Buffer<ArrayBufferLike> = Buffer.alloc(0);
	#skipping = false;
	#modified = 0;

	constructor(path: string) {
		this.path = path;
	}

	/** When the file was last written, milliseconds since 1970; 0 while it is not there. */
	get modified(): number {
		return this.#modified;
	}

	/** What was appended since the last call; of a long file a part of it, the rest with the next calls. Never throws. */
	async read(): Promise<NewLines> {
		let file: FileHandle;
		try {
			file = await open(this.path, 'r');
		} catch {
			const restarted = this.#offset > 0;
			this.#restart(0n);
			return { lines: [], restarted, unreadable: 0 };
		}
		try {
			return await this.#readFrom(file);
		} catch {
			// The disk or a network file system failed for a moment: the next call reads from the same place.
			return { lines: [], restarted: false, unreadable: 0 };
		} finally {
			await file.close().catch(() => {});
		}
	}

	async #readFrom(file: FileHandle): Promise<NewLines> {
		const { ino, size, mtimeMs } = await file.stat({ bigint: true });
		this.#modified = Number(mtimeMs);
		const restarted = this.#offset > 0 && (ino !== this.#inode || !(await this.#continues(file, Number(size))));
		if (restarted || this.#offset === 0) this.#restart(ino);
		const lines: MetricsLine[] = [];
		let unreadable = 0;
		const end = Math.min(Number(size), this.#offset + bytesPerRead);
		const buffer = Buffer.alloc(Math.min(chunkBytes, Math.max(0, end - this.#offset)));
		while (this.#offset < end) {
			const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - this.#offset), this.#offset);
			if (bytesRead === 0) break;
			this.#offset += bytesRead;
			const found = Buffer.from(buffer.subarray(0, bytesRead));
			this.#before = Buffer.concat([this.#before, found]).subarray(-comparedBytes);
			for (const text of this.#wholeLines(found)) {
				if (text.trim() === '') continue;
				const line = lineOf(text);
				if (line === undefined) unreadable++;
				else lines.push(line);
			}
			// Another process is trained on this machine, and clients of this one wait.
			await setImmediate();
		}
		return { lines, restarted, unreadable };
	}

	async #continues(file: FileHandle, size: number): Promise<boolean> {
		if (size < this.#offset) return false;
		const there = Buffer.alloc(this.#before.length);
		await file.read(there, 0, there.length, this.#offset - there.length);
		return there.equals(this.#before);
	}

	#restart(inode: bigint): void {
		this.#inode = inode;
		this.#offset = 0;
		this.#before = Buffer.alloc(0);
		this.#half = Buffer.alloc(0);
		this.#skipping = false;
	}

	#wholeLines(found: Buffer): string[] {
		const end = found.lastIndexOf(0x0a);
		if (end < 0) {
			this.#keep(found);
			return [];
		}
		const whole = Buffer.concat([this.#half, found.subarray(0, end)]).toString('utf8');
		const lines = whole.split('\n');
		if (this.#skipping) lines[0] = '{';
		this.#skipping = false;
		this.#half = Buffer.from(found.subarray(end + 1));
		return lines;
	}

	#keep(found: Buffer): void {
		if (this.#half.length + found.length <= longestLine) this.#half = Buffer.concat([this.#half, found]);
		else {
			this.#half = Buffer.alloc(0);
			this.#skipping = true;
		}
	}
}

function lineOf(text: string): MetricsLine | undefined {
	try {
		return MetricsLine.safeParse(JSON.parse(text)).data;
	} catch {
		return undefined;
	}
}
