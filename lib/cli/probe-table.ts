import type { Estimate, EvaluationFile } from '../evaluate/evaluation-file.js';
import type { SurvivalResult } from '../evaluate/survival/survival-file.js';

// Beside more models, intervals would make rows longer than a terminal is wide.
const mostWithIntervals = 4;

/** A cell; why an estimate is undefined goes into the notes below the table. */
function text(estimate: Estimate, withInterval: boolean, notes: string[]): string {
	if (estimate.value === null) {
		const reason = estimate.undefinedReason ?? 'no reason given';
		if (!notes.includes(reason)) notes.push(reason);
		return `undefined (${notes.indexOf(reason) + 1})`;
	}
	const interval =
		!withInterval || estimate.low === null || estimate.high === null
			? ''
			: ` [${estimate.low.toFixed(3)}, ${estimate.high.toFixed(3)}]`;
	return `${estimate.value.toFixed(3)}${interval}`;
}

/** AUROC of every model by task and horizon, and the C-index of times to events, for a terminal. */
export function probeTable(file: EvaluationFile): string {
	const models = file.models.map(({ name }) => name);
	const keys = [...new Set(file.probes.map(({ task, horizonDays }) => `${task} ${horizonDays ?? ''}`))];
	const notes: string[] = [];
	const withIntervals = models.length <= mostWithIntervals;
	const rows = [['AUROC, held-out', ...models]];
	for (const key of keys) {
		const cells = models.map((model) => {
			const probe = file.probes.find((row) => row.model === model && `${row.task} ${row.horizonDays ?? ''}` === key);
			return probe === undefined ? '' : text(probe.auroc, withIntervals, notes);
		});
		rows.push([`${key}${key.endsWith(' ') ? '' : ' d'}`, ...cells]);
	}
	for (const horizon of [...new Set(file.latentState.map(({ horizonDays }) => horizonDays))]) {
		const cells = models.map((model) => {
			const row = file.latentState.find(
				(one) => one.model === model && one.horizonDays === horizon && one.axis === 'all',
			);
			return row === undefined ? '' : text(row.r2, withIntervals, notes);
		});
		rows.push([`true state R2, ${horizon === 0 ? 'now' : `${horizon} d ahead`}`, ...cells]);
	}
	for (const { name, horizonsDays } of file.timeToEvent?.tasks ?? []) {
		const results = models.map((model) =>
			file.timeToEvent?.results.find((row) => row.model === model && row.task === name),
		);
		const cells = (of: (row: SurvivalResult) => Estimate) =>
			results.map((row) => (row === undefined ? '' : text(of(row), withIntervals, notes)));
		rows.push([`${name}, C-index`, ...cells(({ concordance }) => concordance)]);
		for (const [k, horizon] of horizonsDays.entries())
			rows.push([`${name}, AUROC at ${horizon} d`, ...cells(({ aurocs }) => aurocs[k]!.auroc)]);
	}
	for (const { name } of file.classes?.tasks ?? []) {
		const cells = models.map((model) => {
			const row = file.classes?.results.find((one) => one.model === model && one.task === name);
			return row === undefined ? '' : text(row.macroAuroc, withIntervals, notes);
		});
		rows.push([`${name}, macro AUROC`, ...cells]);
	}
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	const lines = rows.map((row) =>
		row
			.map((cell, column) => cell.padEnd(widths[column]!))
			.join('  ')
			.trimEnd(),
	);
	const elsewhere = withIntervals ? [] : ['the evaluation file and the report have the intervals'];
	return [...lines, ...notes.map((note, i) => `(${i + 1}) ${note}`), ...elsewhere].join('\n');
}
