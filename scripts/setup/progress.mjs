import { InterruptedError } from './errors.mjs';

const signOfLifeMs = 10_000;
/** Step counts of Ninja `[12/34]` and Make `[ 35%]`. */
const stepCount = /^\[ *(\d+)(?:\/(\d+)|%)\]/;

/**
 * A line per stage with the time it took. On a terminal the line of the running stage is redrawn; a log gets what the stage
 * says and, of a build's steps, a sign of life every ten seconds.
 */
class StageLine {
	#started = performance.now();
	#loggedAt = performance.now();
	#name;
	#timer;
	#note = '';
	#terminal = process.stderr.isTTY === true;

	/** @param {string} name */
	constructor(name) {
		this.#name = name;
		if (this.#terminal) this.#timer = setInterval(() => this.#draw(), 500).unref();
		else process.stderr.write(`setup  ${name} ...\n`);
	}

	/** What the stage is doing. @param {string} text */
	note = (text) => {
		this.#note = text;
		if (this.#terminal) return;
		if (stepCount.test(text) && performance.now() - this.#loggedAt < signOfLifeMs) return;
		this.#loggedAt = performance.now();
		process.stderr.write(`${this.#text()}\n`);
	};

	/** @param {string} text */
	end(text) {
		clearInterval(this.#timer);
		const clear = this.#terminal ? '\r\u001b[K' : '';
		process.stderr.write(`${clear}setup  ${this.#name}: ${text} (${this.#seconds().toFixed(1)} s)\n`);
	}

	#seconds() {
		return (performance.now() - this.#started) / 1000;
	}

	#draw() {
		process.stderr.write(`\r\u001b[K${this.#text().slice(0, (process.stderr.columns ?? 100) - 1)}`);
	}

	#text() {
		const [, done, all = 100] = stepCount.exec(this.#note) ?? [];
		const left =
			Number(done) > 0 ? Math.round((this.#seconds() * (Number(all) - Number(done))) / Number(done)) : undefined;
		return `setup  ${this.#name}: ${Math.round(this.#seconds())} s${left === undefined ? '' : `, about ${left} s left`}  ${this.#note}`;
	}
}

/**
 * Runs one stage of the set-up under its progress line.
 *
 * @template T
 * @param {string} name
 * @param {(note: (text: string) => void) => Promise<T>} run
 * @returns {Promise<T>}
 */
export async function stage(name, run) {
	const line = new StageLine(name);
	try {
		const result = await run(line.note);
		line.end('done');
		return result;
	} catch (error) {
		line.end(error instanceof InterruptedError ? 'stopped' : 'failed');
		throw error;
	}
}
