import type { Progress } from '../types.js';

// A terminal is redrawn at most this often; a log gets a line much more rarely.
const terminalMs = 100;
const logMs = 10_000;

/** Turns progress into one line with rate and time left: redrawn on a terminal, appended to a log. */
export class ProgressLine {
	readonly #stream: NodeJS.WriteStream;
	#stage = '';
	#startedAt = 0;
	#startedAtDone = 0;
	#drawnAt = Number.NEGATIVE_INFINITY;
	#last: Progress | undefined;

	constructor(stream: NodeJS.WriteStream = process.stderr) {
		this.#stream = stream;
	}

	readonly update = (progress: Progress): void => {
		const now = performance.now();
		if (progress.stage !== this.#stage) {
			this.finish();
			this.#stage = progress.stage;
			this.#startedAt = now;
			this.#startedAtDone = progress.done;
			this.#drawnAt = Number.NEGATIVE_INFINITY;
		}
		this.#last = progress;
		if (now - this.#drawnAt < (this.#stream.isTTY ? terminalMs : logMs)) return;
		this.#drawnAt = now;
		this.#draw(progress, now);
	};

	/** Draws the last state of a stage and ends its line. */
	finish(): void {
		if (this.#last === undefined) return;
		this.#draw(this.#last, performance.now());
		if (this.#stream.isTTY) this.#stream.write('\n');
		this.#last = undefined;
		this.#stage = '';
	}

	#draw(progress: Progress, now: number): void {
		const text = progressText(progress, (now - this.#startedAt) / 1000, this.#startedAtDone);
		if (this.#stream.isTTY)
			this.#stream.write(`\r\u001b[K${text.slice(0, Math.max(20, (this.#stream.columns ?? 100) - 1))}`);
		else this.#stream.write(`${text}\n`);
	}
}

/** `train SFT   120/500 steps   2.1 steps/s   3m 01s left   next-token 1.98` @internal */
export function progressText(progress: Progress, elapsedSeconds: number, startedAtDone: number): string {
	const { stage, done, total, unit, note } = progress;
	const rate = elapsedSeconds > 0 ? (done - startedAtDone) / elapsedSeconds : 0;
	const parts = [
		stage.padEnd(18),
		`${done.toLocaleString('en-US')}${total === undefined ? '' : `/${total.toLocaleString('en-US')}`} ${unit}`,
	];
	if (rate > 0) {
		parts.push(`${rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toFixed(1)} ${unit}/s`);
		parts.push(
			total === undefined || done >= total
				? `took ${duration(elapsedSeconds)}`
				: `${duration((total - done) / rate)} left`,
		);
	}
	if (note !== undefined) parts.push(note);
	return parts.join('   ');
}

export function duration(seconds: number): string {
	if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)}s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 60) return `${minutes}m ${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
	return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, '0')}m`;
}
