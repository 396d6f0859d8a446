const indentOf = (line) => line.length - line.trimStart().length;

/** @typedef {{ passed: number, failed: number, skipped: number }} TapCount */

/**
 * Counts the assertions in TAP 14 as node-tap prints it, line by line. A subtest's own line counts only when it says more
 * than its assertions did: it has none, or it failed and none of them did (a crash, a timeout, a plan that was not met).
 */
export class TapCounter {
	/** @type {Map<number, { points: number, failures: number }>} By indentation: the blocks that are open. */
	#blocks = new Map();
	/** Indentation of the diagnostics that are being skipped. @type {number | undefined} */
	#diagnostics;
	#planned = 0;
	#files = 0;
	/** @type {TapCount} */
	#count = { passed: 0, failed: 0, skipped: 0 };

	/** @param {string} line */
	push(line) {
		const indent = indentOf(line);
		if (this.#diagnostics !== undefined) {
			if (indent === this.#diagnostics && line.trim() === '...') this.#diagnostics = undefined;
			return;
		}
		const text = line.trim();
		if (text === '---') this.#diagnostics = indent;
		else if (text.startsWith('# Subtest')) this.#blocks.set(indent, { points: 0, failures: 0 });
		else if (indent === 0 && /^1\.\.\d+/.test(text)) this.#planned = Number(/^1\.\.(\d+)/.exec(text)[1]);
		else this.#point(indent, text);
	}

	/** @param {number} indent @param {string} text */
	#point(indent, text) {
		const match = /^(not )?ok\b(.*)$/.exec(text);
		if (match === null) return;
		const directive = /[^\\]# (SKIP|TODO)\b(.*)$/i.exec(match[2]);
		const failed = (match[1] !== undefined && directive === null) || /no tests found/.test(directive?.[2] ?? '');
		const own = this.#blocks.get(indent);
		this.#blocks.delete(indent);
		if (own === undefined || own.points === 0 || (failed && own.failures === 0)) {
			if (failed) this.#count.failed++;
			else if (directive !== null) this.#count.skipped++;
			else this.#count.passed++;
		}
		if (indent === 0) this.#files++;
		const parent = this.#blocks.get(indent - 4);
		if (parent === undefined) return;
		parent.points++;
		if (failed) parent.failures++;
	}

	/** The sum so far; files that were planned and never reported are failures. @returns {TapCount} */
	total() {
		return { ...this.#count, failed: this.#count.failed + Math.max(0, this.#planned - this.#files) };
	}
}
