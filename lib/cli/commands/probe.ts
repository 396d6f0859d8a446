import type { Argv } from 'yargs';
import { type ProbeFile, probeFeatures } from '../../evaluate/probe-features.js';
import { splits } from '../../types.js';
import { withContext } from '../context.js';

export const command = 'probe <out>';
export const describe = "Fit a linear probe on anybody's features: coefficients, predictions, metrics";

export const builder = (yargs: Argv) =>
	yargs
		.positional('out', { type: 'string', demandOption: true, describe: 'Folder to write' })
		.option('features', {
			type: 'string',
			demandOption: true,
			describe: 'Parquet with subject_id, prediction_time and a list of numbers',
		})
		.option('column', { type: 'string', default: 'embedding', describe: 'Column of the list' })
		.option('labels', {
			type: 'string',
			demandOption: true,
			describe: 'Parquet in the MEDS label schema, or its folder',
		})
		.option('splits', { type: 'string', describe: 'MEDS subject_splits; else the column split of the features' })
		.option('draws', { type: 'number', default: 1000, describe: 'Bootstrap resamples of patients' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the resamples' })
		.example('$0 probe out --features states.parquet --labels mortality.parquet --splits subject_splits.parquet', '');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { out, features, column, labels, splits: splitsPath, draws, seed } = args;
		const file = await probeFeatures(
			{ out, features, column, labels, draws, seed, ...(splitsPath === undefined ? {} : { splits: splitsPath }) },
			context.operation(),
		);
		context.result(text(out, file), file);
	});
}

function text(out: string, file: ProbeFile): string {
	const { samples, patients, positives, excluded, featuresWithoutLabel, probe, features, metrics } = file;
	const left = Object.entries({ ...excluded, featuresWithoutLabel }).filter(([, count]) => count > 0);
	return [
		`${out}: logistic probe on ${features.columns} features, L2 ${probe.l2}`,
		...splits.map(
			(split) =>
				`${split.padEnd(9)} ${samples[split]} samples of ${patients[split]} patients, ${positives[split]} positive`,
		),
		...(left.length === 0
			? []
			: [`left out: ${left.map(([reason, count]) => `${count} ${words[reason]}`).join(', ')}`]),
		...Object.entries(metrics).map(([name, { value, low, high, undefinedReason }]) => {
			const interval = low === null || high === null ? '' : ` [${low.toFixed(3)}, ${high.toFixed(3)}]`;
			return `${words[name]!.padEnd(28)} ${value === null ? `undefined: ${undefinedReason}` : `${value.toFixed(3)}${interval}`}`;
		}),
	].join('\n');
}

const words: Readonly<Record<string, string>> = {
	unlabelled: 'labels that are null',
	repeated: 'repeated labels',
	withoutFeatures: 'labels without features',
	withoutSplit: 'labels of subjects in no split',
	featuresWithoutLabel: 'rows of features without a label',
	auroc: 'AUROC',
	averagePrecision: 'average precision',
	brier: 'Brier score',
	expectedCalibrationError: 'expected calibration error',
	calibrationSlope: 'calibration slope',
	calibrationIntercept: 'calibration intercept',
};
