import { join } from 'node:path';
import { StudyFolder } from '../study-folder.js';

/** Where the files of a cross-validation are. */
export class CrossValidationFolder {
	constructor(readonly path: string) {}
	get options(): string {
		return join(this.path, 'options.json');
	}
	get result(): string {
		return join(this.path, 'cross-validation.json');
	}
	get tables(): string {
		return join(this.path, 'cross-validation.md');
	}
	/** Data, tokens, tasks, runs and states of one fold. @param repeat, fold - From 1 up. */
	fold(repeat: number, fold: number): StudyFolder {
		return new StudyFolder(join(this.path, `repeat-${repeat}`, `fold-${fold}`));
	}
	readings(repeat: number, fold: number): string {
		return join(this.path, 'readings', `repeat-${repeat}`, `fold-${fold}.json`);
	}
}
