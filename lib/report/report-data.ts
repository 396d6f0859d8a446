import { readFile } from 'node:fs/promises';
import { parseConfig } from '../config.js';
import { DataError } from '../errors.js';
import { EvaluationFile } from '../evaluate/evaluation-file.js';
import type { StepMetrics, TuningMetrics } from '../train/metrics.js';
import { type RunConfig, RunFolder } from '../train/run-folder.js';

export interface ReportInput {
	/** Path of evaluation.json. */
	readonly evaluation: string;
	readonly runs: readonly { readonly name: string; readonly label: string; readonly directory: string }[];
	readonly title?: string;
}

/** A run as the report shows it. */
export interface ReportRun {
	/** Name of the model in evaluation.json. */
	readonly name: string;
	readonly label: string;
	/** Colour and mark, the same in every chart. */
	readonly style: number;
	readonly config: RunConfig;
	readonly steps: readonly StepMetrics[];
	readonly tuning: readonly TuningMetrics[];
}

export interface ReportData {
	readonly title: string;
	readonly evaluation: EvaluationFile;
	readonly runs: readonly ReportRun[];
	/** Colour and mark of a model of the evaluation. */
	styleOf(model: string): number;
	labelOf(model: string): string;
}

/** @throws {DataError} {ConfigError} Naming file and rule. */
export async function readReportData(input: ReportInput): Promise<ReportData> {
	let json: unknown;
	try {
		json = JSON.parse(await readFile(input.evaluation, 'utf8'));
	} catch (cause) {
		throw new DataError(
			'report',
			{ file: input.evaluation, rule: 'must be an evaluation.json', value: (cause as Error).message },
			{ cause },
		);
	}
	const evaluation = parseConfig(`report ${input.evaluation}`, EvaluationFile, json);
	const styleOf = (model: string) => {
		const index = evaluation.models.findIndex(({ name }) => name === model);
		return (index < 0 ? evaluation.models.length : index) % 6;
	};
	const runs: ReportRun[] = [];
	for (const { name, label, directory } of input.runs) {
		const folder = await RunFolder.open(directory);
		const lines = await folder.metrics();
		runs.push({
			name,
			label,
			style: styleOf(name),
			config: folder.config,
			steps: lines.filter((line) => line.kind === 'train'),
			tuning: lines.filter((line) => line.kind === 'tuning'),
		});
	}
	return {
		title: input.title ?? `Patient world model: ${evaluation.dataset.name}`,
		evaluation,
		runs,
		styleOf,
		labelOf: (model) => evaluation.models.find(({ name }) => name === model)?.label ?? model,
	};
}
