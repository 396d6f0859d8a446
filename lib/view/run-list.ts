import { readdir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { LiveRun } from './live-run.js';

/** Folders below the one that is viewed in which runs are looked for. */
const depth = 3;
/** Runs that are followed; a folder with more is no folder of runs. */
const mostRuns = 300;
/** Parts of a run, and of what lies beside runs, that hold none. */
const passedOver: ReadonlySet<string> = new Set(['checkpoints', 'node_modules', 'data', 'metadata', 'cohort', 'store']);

/** The runs below a folder, which may appear and vanish. */
export class RunList {
	readonly #directory: string;
	readonly #runs = new Map<string, LiveRun>();
	#met = 0;

	constructor(directory: string) {
		this.#directory = directory;
	}

	/** In the order of their names. */
	get runs(): LiveRun[] {
		return [...this.#runs.values()].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
	}

	get(name: string): LiveRun | undefined {
		return this.#runs.get(name);
	}

	/** Looks for runs. @returns Whether one has appeared or vanished. */
	async scan(): Promise<boolean> {
		const found = new Set<string>();
		await runFolders(this.#directory, depth, found);
		let changed = false;
		for (const [name] of this.#runs) {
			if (found.has(join(this.#directory, name)) || (name === basename(this.#directory) && found.has(this.#directory)))
				continue;
			this.#runs.delete(name);
			changed = true;
		}
		for (const folder of found) {
			const name = relative(this.#directory, folder) || basename(this.#directory);
			if (this.#runs.has(name)) continue;
			this.#runs.set(name, new LiveRun(folder, name, this.#met++));
			changed = true;
		}
		return changed;
	}
}

/** A run folder holds `metrics.jsonl`, or `config.json` beside `checkpoints` before its first step. Links are not followed. */
async function runFolders(folder: string, levels: number, found: Set<string>): Promise<void> {
	const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
	const names = new Set(entries.map(({ name }) => name));
	if (names.has('config.json') && (names.has('metrics.jsonl') || names.has('checkpoints'))) {
		if (found.size < mostRuns) found.add(folder);
		return;
	}
	if (levels === 0) return;
	for (const entry of entries) {
		if (entry.isDirectory() && !entry.name.startsWith('.') && !passedOver.has(entry.name))
			await runFolders(join(folder, entry.name), levels - 1, found);
	}
}
