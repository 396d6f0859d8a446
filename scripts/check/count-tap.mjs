import { Parser } from 'tap-parser';

/**
 * `failures`: the full name of each failed result, from its file to its assertion, with what is known of it.
 *
 * @typedef {{ passed: number, failed: number, skipped: number, failures: readonly string[] }} TapCount
 */

/** What node-tap says of a failure that helps to understand it from afar. */
const shownFacts = ['at', 'diff', 'found', 'pattern', 'exitCode', 'signal', 'expired', 'message'];

/** @param {unknown} fact */
function shown(fact) {
	const text = typeof fact === 'string' ? fact : JSON.stringify(fact);
	return text.length <= 2000 ? text : `${text.slice(0, 2000)}…`;
}

/**
 * Counts the assertions in TAP 14 as node-tap prints it, line by line. A subtest's own line counts only when it says more
 * than its assertions did: it has none, or it failed and none of them did (a crash, a timeout, a plan that was not met).
 */
export class TapCounter {
	#parser = new Parser();
	#planned = 0;
	#files = 0;
	#count = { passed: 0, failed: 0, skipped: 0 };
	/** @type {string[]} */
	#failures = [];

	constructor() {
		this.#watch(this.#parser);
		this.#parser.on('plan', ({ end }) => {
			this.#planned = end;
		});
		this.#parser.on('assert', () => this.#files++);
	}

	/** @param {string} line */
	push(line) {
		this.#parser.write(`${line}\n`);
	}

	/**
	 * @param {Parser} parser
	 * @returns {{ points: number, failures: number }} Results of the block so far.
	 */
	#watch(parser) {
		const block = { points: 0, failures: 0 };
		/** Of the subtest whose own line comes next. @type {{ points: number, failures: number } | undefined} */
		let own;
		parser.on('child', (child) => {
			own = this.#watch(child);
		});
		parser.on('assert', (result) => {
			const { ok, skip, todo } = result;
			// A file without tests passes for a skipped one.
			const failed = (!ok && !skip && !todo) || (typeof skip === 'string' && skip.startsWith('no tests found'));
			if (own === undefined || own.points === 0 || (failed && own.failures === 0)) {
				if (failed) this.#fail(result);
				else if (skip || todo) this.#count.skipped++;
				else this.#count.passed++;
			}
			own = undefined;
			block.points++;
			if (failed) block.failures++;
		});
		return block;
	}

	/** @param {import('tap-parser').Result} result */
	#fail({ fullname, diag }) {
		this.#count.failed++;
		const facts = Object.entries(diag ?? {}).filter(([key]) => shownFacts.includes(key));
		this.#failures.push([fullname, ...facts.map(([key, fact]) => `${key}: ${shown(fact)}`)].join('\n  '));
	}

	/** The sum of all lines; files that were planned and never reported are failures. @returns {TapCount} */
	total() {
		// The parser holds the last result back until it knows what follows.
		this.#parser.end();
		const { passed, failed, skipped } = this.#count;
		const missing = Math.max(0, this.#planned - this.#files);
		const failures = missing === 0 ? this.#failures : [...this.#failures, `${missing} files never reported`];
		return { passed, skipped, failed: failed + missing, failures };
	}
}
