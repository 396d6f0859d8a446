import { join } from 'node:path';
import { readJson } from '../files/json.js';
import { isObject } from '../found.js';
import type { ReportRun } from '../report/report-data.js';
import type { InstrumentMetrics } from '../train/instruments/metrics.js';
import type { MetricsLine, StepMetrics, TuningMetrics } from '../train/metrics.js';
import { MetricsFollower } from './metrics-follower.js';

/** Lines of a kind that are kept for drawing; beyond, every second one is dropped. */
const keptLines = 4096;
/** Steps whose mean time says how long the others will take. */
const recentSteps = 30;
/** A run without a new line for so many of its steps, or so many milliseconds, is not called running. */
const quietSteps = 20;
const quietMs = 60_000;

export type RunState = 'running' | 'finished' | 'quiet' | 'waiting';

/** A run folder that another process may be writing. */
export class LiveRun {
	/** Path relative to the folder that is viewed. */
	readonly name: string;
	/** Colour, shape and dash, the same as long as the view lives. */
	readonly style: number;
	readonly #directory: string;
	readonly #follower: MetricsFollower;
	#config: Readonly<Record<string, unknown>> = {};
	#total: number | undefined;
	#steps: StepMetrics[] = [];
	#tuning: TuningMetrics[] = [];
	#instruments: InstrumentMetrics[] = [];
	#recent: StepMetrics[] = [];
	#tokens = 0;
	#unreadable = 0;
	/** Distance of two steps that are kept. */
	#stride = 1;

	constructor(directory: string, name: string, style: number) {
		this.#directory = directory;
		this.name = name;
		this.style = style;
		this.#follower = new MetricsFollower(join(directory, 'metrics.jsonl'));
	}

	/** Reads what is new. @returns Whether anything was. */
	async poll(): Promise<boolean> {
		const { lines, restarted, unreadable } = await this.#follower.read();
		if (restarted) this.#forget();
		this.#unreadable += unreadable;
		for (const line of lines) this.#add(line);
		const before = JSON.stringify(this.#config);
		if (restarted || lines.length > 0 || this.#total === undefined) await this.#readConfig();
		return restarted || lines.length > 0 || unreadable > 0 || JSON.stringify(this.#config) !== before;
	}

	/** As the sections of the report show a run. */
	get shown(): ReportRun {
		return {
			name: this.name,
			label: this.name,
			style: this.style,
			config: this.#config,
			steps: this.#steps,
			tuning: this.#tuning,
			instruments: this.#instruments,
			cutOff: false,
			latent: [...this.#steps.slice(-1), ...this.#tuning.slice(-1)].some(({ latentLoss }) => latentLoss !== null),
		};
	}

	get lastStep(): StepMetrics | undefined {
		return this.#recent.at(-1);
	}
	/** Updates that the run makes in all; undefined while its configuration cannot be read. */
	get total(): number | undefined {
		return this.#total;
	}
	/** Tokens that were trained on. */
	get tokens(): number {
		return this.#tokens;
	}
	/** Lines that were passed over, because they are none of this version. */
	get unreadable(): number {
		return this.#unreadable;
	}
	/** When metrics were last written, milliseconds since 1970; 0 before the first. */
	get modified(): number {
		return this.#follower.modified;
	}

	/** Mean of the newest steps, waiting and checkpoints included; undefined before the first. */
	get msPerStep(): number | undefined {
		if (this.#recent.length === 0) return undefined;
		const times = this.#recent.map(({ stepMs, waitMs, checkpointMs = 0 }) => stepMs + waitMs + checkpointMs);
		return times.reduce((sum, time) => sum + time, 0) / times.length;
	}

	get tokensPerSecond(): number | undefined {
		const ms = this.msPerStep;
		if (ms === undefined || ms === 0) return undefined;
		return (1000 * this.#recent.reduce((sum, { tokens }) => sum + tokens, 0)) / (ms * this.#recent.length);
	}

	/** Time that the steps to come will take, milliseconds; undefined when it cannot be told. */
	get remainingMs(): number | undefined {
		const [step, ms] = [this.lastStep?.step, this.msPerStep];
		if (step === undefined || ms === undefined || this.#total === undefined) return undefined;
		return Math.max(0, this.#total - step) * ms;
	}

	state(now: number): RunState {
		const step = this.lastStep?.step;
		if (step === undefined) return 'waiting';
		if (this.#total !== undefined && step >= this.#total) return 'finished';
		return now - this.modified < Math.max(quietMs, quietSteps * (this.msPerStep ?? 0)) ? 'running' : 'quiet';
	}

	#forget(): void {
		this.#steps = [];
		this.#tuning = [];
		this.#instruments = [];
		this.#recent = [];
		this.#tokens = 0;
		this.#unreadable = 0;
		this.#stride = 1;
	}

	#add(line: MetricsLine): void {
		if (line.kind === 'train') {
			this.#tokens += line.tokens;
			this.#recent = [...this.#recent, line].slice(-recentSteps);
			if ((line.step - 1) % this.#stride !== 0) return;
			this.#steps.push(line);
			if (this.#steps.length > keptLines) {
				this.#stride *= 2;
				this.#steps = this.#steps.filter(({ step }) => (step - 1) % this.#stride === 0);
			}
		} else if (line.kind === 'tuning') this.#tuning = thinned([...this.#tuning, line]);
		else this.#instruments = thinned([...this.#instruments, line]);
	}

	/** A configuration of another version is still shown; one that is being written is read the next time. */
	async #readConfig(): Promise<void> {
		try {
			const config = await readJson(join(this.#directory, 'config.json'), { scope: 'view' });
			if (!isObject(config)) return;
			this.#config = config;
			const { train, extendedTo } = config;
			const steps = extendedTo ?? (isObject(train) ? train.steps : undefined);
			this.#total = typeof steps === 'number' && Number.isInteger(steps) && steps > 0 ? steps : undefined;
		} catch {
			// Not there yet.
		}
	}
}

/** Every second line, and the newest, once there are too many. */
function thinned<Line>(lines: Line[]): Line[] {
	return lines.length <= keptLines ? lines : lines.filter((_, i) => i % 2 === 0 || i === lines.length - 1);
}
