import type { Estimate } from '../evaluate/evaluation-file.js';
import { parseJson } from '../files/json.js';
import type { Quantity, StudyFile, StudyRow } from './study-file.js';

/** What tables are made from. */
export type Rows = Pick<StudyFile, 'rows' | 'models'>;

export const integer = (value: number) => value.toLocaleString('en-US');
export const days = (horizon: number | null) => (horizon === null ? '' : horizon === 0 ? 'now' : `${horizon} d`);

/** A cell, and the reasons that notes below the table give for what is undefined. */
export function cell(row: StudyRow | undefined, signed: boolean, notes: string[]): string {
	if (row === undefined) return '';
	const { estimate, overSeeds } = row;
	const { value, low, high }: Estimate = estimate;
	if (value === null) {
		const reason = estimate.undefinedReason ?? 'no reason given';
		if (!notes.includes(reason)) notes.push(reason);
		return `undefined (${notes.indexOf(reason) + 1})`;
	}
	const show = (number: number) => `${signed && number >= 0 ? '+' : ''}${number.toFixed(3)}`;
	const interval = low === null || high === null ? '' : ` [${show(low)}, ${show(high)}]`;
	return `${show(value)}${interval}${overSeeds === null ? '' : ` ±${overSeeds.sd.toFixed(3)}`}`;
}

/** Lines of a table with the same widths, for a terminal and for markdown. */
export function lines(rows: readonly (readonly string[])[], separator: string): string[] {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	return rows.map((row) => row.map((text, column) => text.padEnd(widths[column]!)).join(separator));
}

export function markdownTable(rows: readonly (readonly string[])[]): string {
	const [head, ...body] = lines(rows, ' | ');
	const rule = head!.replace(/[^|]/g, '-').replace(/-\|-/g, ' | ');
	return [head!, rule, ...body].map((line) => `| ${line} |`).join('\n');
}

/** The rows of a table of models by horizon. */
export function byHorizon(
	file: Rows,
	quantity: Quantity,
	task: string,
	title: string,
	minus: (row: StudyRow) => boolean,
	notes: string[],
): string[][] {
	const rows = file.rows.filter(
		(row) => row.quantity === quantity && row.task === task && row.seed === null && minus(row),
	);
	return modelTable(file, rows, title, ({ horizonDays }) => days(horizonDays) || 'value', notes);
}

export function labelOf(file: Rows, model: string): string {
	return file.models.find(({ name }) => name === model)?.label ?? model;
}

/** The rows of a table of models with every number of one time to an event. */
export function timesTable(
	file: Rows,
	task: string,
	title: string,
	minus: (row: StudyRow) => boolean,
	notes: string[],
): string[][] {
	const rows = file.rows.filter(
		(row) => row.task === task && survivalQuantities.has(row.quantity) && row.seed === null && minus(row),
	);
	const columnOf = ({ quantity, horizonDays }: StudyRow) =>
		`${survivalQuantities.get(quantity)} ${days(horizonDays)}`.trim();
	return modelTable(file, rows, title, columnOf, notes);
}

/** A line for each model, or difference of two, and a column for each name that `columnOf` gives. */
function modelTable(
	file: Rows,
	rows: readonly StudyRow[],
	title: string,
	columnOf: (row: StudyRow) => string,
	notes: string[],
): string[][] {
	const columns = [...new Set(rows.map(columnOf))];
	const names = [...new Set(rows.map(({ model, minus }) => JSON.stringify([model, minus])))];
	return [
		[title, ...columns],
		...names.map((name) => {
			const [model, against] = parseJson(name) as [string, string | null];
			const own = rows.filter((row) => row.model === model && row.minus === against);
			return [
				against === null ? labelOf(file, model) : `${labelOf(file, model)} - ${labelOf(file, against)}`,
				...columns.map((column) =>
					cell(
						own.find((row) => columnOf(row) === column),
						against !== null,
						notes,
					),
				),
			];
		}),
	];
}

const survivalQuantities: ReadonlyMap<Quantity, string> = new Map([
	['concordance', "Harrell's C"],
	['ipcw-concordance', "Uno's C"],
	['time-dependent-auroc', 'AUROC at'],
]);

/** Times to events of a study, with their samples, events and patients. */
export function timesOf(file: Rows): { readonly task: string; readonly counts: string }[] {
	const rows = file.rows.filter(({ quantity, seed }) => quantity === 'concordance' && seed === null);
	return [...new Set(rows.map(({ task }) => task))].map((task) => {
		const { nSamples, nPositives, nPatients } = rows.find((row) => row.task === task)!;
		const counts = `${integer(nSamples)} samples, ${integer(nPositives ?? 0)} with the event, ${integer(nPatients)} patients`;
		return { task, counts };
	});
}

export const own = ({ minus }: StudyRow) => minus === null;
export const differences = ({ minus }: StudyRow) => minus !== null;
/** How many samples and outcomes each task has. */
export function taskTable(file: Rows, notes: string[]): string[][] {
	const rows = file.rows.filter(
		(row) => row.quantity === 'auroc' && row.task !== 'mean of tasks' && row.seed === null && own(row),
	);
	const keys = [...new Set(rows.map(({ task, horizonDays }) => JSON.stringify([task, horizonDays])))];
	return [
		['task', 'samples, positive, patients', ...file.models.map(({ label }) => label)],
		...keys.map((key) => {
			const here = rows.filter(({ task, horizonDays }) => JSON.stringify([task, horizonDays]) === key);
			const { task, horizonDays, nSamples, nPositives, nPatients } = here[0]!;
			return [
				`${task} ${days(horizonDays)}`.trim(),
				`${integer(nSamples)}, ${nPositives}, ${nPatients}`,
				...file.models.map(({ name }) =>
					cell(
						here.find(({ model }) => model === name),
						false,
						notes,
					),
				),
			];
		}),
	];
}
