import { byHorizon, days, differences, integer, lines, markdownTable, own, taskTable } from '../tables.js';
import type { CrossValidationFile } from './cross-validation-file.js';

const mean = 'mean of tasks';

/** What stands behind a number. */
function basis({ options: { repeats, folds } }: CrossValidationFile): string {
	return repeats === 1
		? `one division into ${folds} folds`
		: `± standard deviation over ${repeats} divisions into ${folds} folds`;
}

/** The main numbers, for a terminal. */
export function crossValidationSummary(file: CrossValidationFile): string {
	const notes: string[] = [];
	const parts = [
		byHorizon(file, 'auroc', mean, 'AUROC within folds, mean of tasks', own, notes),
		byHorizon(file, 'auroc', mean, 'difference', ({ minus }) => minus === 'sft', notes),
	].filter((rows) => rows.length > 1);
	const unread = file.tasks.filter(({ foldsRead, folds }) => foldsRead < folds).length;
	return [
		...parts.map((rows) => `${lines(rows, '  ').join('\n')}\n`),
		`[patient-level ${file.bootstrap.level * 100} % interval], ${basis(file)}; every number: cross-validation.json`,
		...(unread === 0 ? [] : [`${unread} of ${file.tasks.length} tasks could not be read in every fold`]),
		...notes.map((note, i) => `(${i + 1}) ${note}`),
	].join('\n');
}

/** How many folds each task was read in, and why not in the others. */
function coverageTable({ tasks }: CrossValidationFile): string[][] {
	return [
		['task', 'folds read', 'not read', 'without a state'],
		...tasks.map(({ name, horizonDays, foldsRead, folds, notRead, withoutState }) => [
			`${name} ${days(horizonDays)}`.trim(),
			`${foldsRead} of ${folds}`,
			notRead.map(({ reason, folds }) => `${folds}: ${reason}`).join('; '),
			integer(withoutState),
		]),
	];
}

/** `cross-validation.md`: settings and every table. */
export function crossValidationMarkdown(file: CrossValidationFile): string {
	const { options, dataset, indexDates, bootstrap } = file;
	const notes: string[] = [];
	const sections: (readonly [title: string, rows: string[][]])[] = [
		['AUROC within folds by horizon, mean of tasks', byHorizon(file, 'auroc', mean, 'model', own, notes)],
		['Paired differences', byHorizon(file, 'auroc', mean, 'difference', differences, notes)],
		['AUROC of every task', taskTable(file, notes)],
		['Folds', coverageTable(file)],
	];
	return `${[
		'# Cross-validation tables',
		`${integer(dataset.patients)} patients, ${integer(indexDates.number)} index dates; ${options.repeats} × ${options.folds} folds, in each ${integer(options.steps)} updates of ${integer(options.tokensPerStep)} tokens.`,
		'AUROC counts pairs of samples of one fold alone: scores of two folds come from two models.',
		`Mean over repeats [${bootstrap.level * 100} % interval over ${integer(bootstrap.draws)} resamples], ${basis(file)}. ${bootstrap.covers}`,
		...sections.filter(([, rows]) => rows.length > 1).map(([title, rows]) => `## ${title}\n\n${markdownTable(rows)}`),
		...(notes.length === 0 ? [] : [notes.map((note, i) => `(${i + 1}) ${note}`).join('\n')]),
	].join('\n\n')}\n`;
}
