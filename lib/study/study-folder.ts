import { join } from 'node:path';

/** Where the files of a study are. */
export class StudyFolder {
	constructor(readonly path: string) {}
	get options(): string {
		return join(this.path, 'options.json');
	}
	get cohort(): string {
		return join(this.path, 'cohort');
	}
	get store(): string {
		return join(this.path, 'store');
	}
	get tasks(): string {
		return join(this.path, 'tasks');
	}
	get result(): string {
		return join(this.path, 'study.json');
	}
	get tables(): string {
		return join(this.path, 'study.md');
	}
	run(seed: number, variant: string): string {
		return join(this.path, 'runs', `seed-${seed}`, variant);
	}
	losses(seed: number, variant: string): string {
		return join(this.path, 'losses', `seed-${seed}`, `${variant}.json`);
	}
	embeddings(seed: number, model: string, reading: string): string {
		return join(this.path, 'embeddings', reading, `seed-${seed}`, `${model}.parquet`);
	}
	/** @param seed - Null for a model without one. */
	reading(seed: number | null, model: string, reading: string): string {
		if (seed === null) return join(this.path, 'readings', `${model}.json`);
		return join(this.path, 'readings', reading, `seed-${seed}`, `${model}.json`);
	}
}
