import type { Estimate, EvaluationFile } from '../evaluate/evaluation-file.js';

function text(estimate: Estimate): string {
	if (estimate.value === null) return `undefined (${estimate.undefinedReason})`;
	const interval =
		estimate.low === null || estimate.high === null ? '' : ` [${estimate.low.toFixed(3)}, ${estimate.high.toFixed(3)}]`;
	return `${estimate.value.toFixed(3)}${interval}`;
}

/** AUROC of every model by task and horizon, for a terminal. */
export function probeTable(file: EvaluationFile): string {
	const models = file.models.map(({ name }) => name);
	const keys = [...new Set(file.probes.map(({ task, horizonDays }) => `${task} ${horizonDays ?? ''}`))];
	const rows = [['AUROC, held-out', ...models]];
	for (const key of keys) {
		const cells = models.map((model) => {
			const probe = file.probes.find((row) => row.model === model && `${row.task} ${row.horizonDays ?? ''}` === key);
			return probe === undefined ? '' : text(probe.auroc);
		});
		rows.push([`${key}${key.endsWith(' ') ? '' : ' d'}`, ...cells]);
	}
	for (const horizon of [...new Set(file.latentState.map(({ horizonDays }) => horizonDays))]) {
		const cells = models.map((model) => {
			const row = file.latentState.find(
				(one) => one.model === model && one.horizonDays === horizon && one.axis === 'all',
			);
			return row === undefined ? '' : text(row.r2);
		});
		rows.push([`true state R2, ${horizon === 0 ? 'now' : `${horizon} d ahead`}`, ...cells]);
	}
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	return rows
		.map((row) =>
			row
				.map((cell, column) => cell.padEnd(widths[column]!))
				.join('  ')
				.trimEnd(),
		)
		.join('\n');
}
