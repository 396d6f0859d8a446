import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import type { BinaryMetricName } from '../../evaluate/binary-metrics.js';
import { type ClassProbeFile, probeClasses } from '../../evaluate/classes/probe-classes.js';
import { type NumberProbeFile, probeNumbers } from '../../evaluate/numbers/probe-numbers.js';
import { type ProbeFile, probeFeatures } from '../../evaluate/probe-features.js';
import { probeSurvival, type SurvivalProbeFile } from '../../evaluate/survival/probe-survival.js';
import { survivalProbeKinds } from '../../evaluate/survival/survival-file.js';
import { splits } from '../../types.js';
import { withContext } from '../context.js';
import { estimateLine, metricWords } from '../estimate-line.js';

const kinds = ['logistic', 'multinomial', 'ridge', ...survivalProbeKinds] as const;

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
		.option('kind', {
			choices: kinds,
			default: 'logistic' as const,
			describe: 'logistic: yes or no; multinomial: classes; ridge: numbers; cox, hazard: the time to an event',
		})
		.option('label-column', {
			type: 'string',
			describe: 'Of multinomial and ridge: column of the labels; else categorical_value or integer_value; float_value',
		})
		.option('time', { type: 'string', describe: 'Of cox and hazard: column of the days; else float_value' })
		.option('event', {
			type: 'string',
			describe: 'Of cox and hazard: column that says whether the event was seen; else boolean_value',
		})
		.option('horizon', {
			type: 'number',
			array: true,
			describe: 'Of cox and hazard: days at which the AUROC is read; else 30 180 365',
		})
		.option('splits', { type: 'string', describe: 'MEDS subject_splits; else the column split of the features' })
		.option('draws', { type: 'number', default: 1000, describe: 'Bootstrap resamples of patients' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the resamples' })
		.example('$0 probe out --features states.parquet --labels mortality.parquet --splits subject_splits.parquet', '')
		.example('$0 probe out --kind ridge --features states.parquet --labels creatinine.parquet', '')
		.example('$0 probe out --kind cox --features states.parquet --labels tasks/death/time-to-event', '');

type Arguments = Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>;

export async function handler(args: Arguments): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { out, features, column, labels, splits, draws, seed } = args;
		const { kind, labelColumn, time, event, horizon: horizonsDays } = args;
		requireOptionsOf(args);
		const shared = { out, features, column, labels, splits, draws, seed };
		if (kind === 'logistic') {
			const file = await probeFeatures(shared, context.operation());
			context.result(binaryText(out, file), file);
		} else if (kind === 'multinomial') {
			const file = await probeClasses({ ...shared, labelColumn }, context.operation());
			context.result(classText(out, file), file);
		} else if (kind === 'ridge') {
			const file = await probeNumbers({ ...shared, labelColumn }, context.operation());
			context.result(numberText(out, file), file);
		} else {
			const file = await probeSurvival({ ...shared, kind, time, event, horizonsDays }, context.operation());
			context.result(survivalText(out, file), file);
		}
	});
}

/** @throws {ConfigError} For an option of another kind: it would change nothing. */
function requireOptionsOf({ kind, labelColumn, time, event, horizon }: Arguments): void {
	const isSurvival = kind === 'cox' || kind === 'hazard';
	const given = { 'label-column': labelColumn, time, event, horizon };
	for (const [name, value] of Object.entries(given)) {
		const belongs = name === 'label-column' ? kind === 'multinomial' || kind === 'ridge' : isSurvival;
		if (value === undefined || belongs) continue;
		const kindOf = name === 'label-column' ? 'multinomial or ridge' : 'cox or hazard';
		throw new ConfigError(`[probe] --${name} needs --kind ${kindOf} but the kind is ${kind}`);
	}
}

function binaryText(out: string, file: ProbeFile): string {
	const { probe, features, metrics } = file;
	return [
		`${out}: logistic probe on ${features.columns} features, L2 ${probe.l2}`,
		...countLines(file, (split) => `${file.positives[split]} positive`),
		...Object.entries(metrics).map(([name, estimate]) => estimateLine(metricWords[name as BinaryMetricName], estimate)),
	].join('\n');
}

function classText(out: string, file: ClassProbeFile): string {
	const { probe, features, metrics, classes } = file;
	return [
		`${out}: multinomial probe on ${features.columns} features, ${classes.length} classes, L2 ${probe.l2}`,
		...countLines(file, () => ''),
		estimateLine('accuracy', metrics.accuracy),
		estimateLine('log-loss', metrics.logLoss),
		estimateLine('macro AUROC', metrics.macroAuroc),
		...classes.map(({ name, auroc, samples }) =>
			estimateLine(`AUROC of ${name}`, auroc, `, ${samples.held_out} of ${file.samples.held_out} samples`),
		),
	].join('\n');
}

function numberText(out: string, file: NumberProbeFile): string {
	const { probe, features, metrics } = file;
	return [
		`${out}: ridge probe on ${features.columns} features, L2 ${probe.l2}`,
		...countLines(file, (split) => meanText(file, split)),
		estimateLine('R2', metrics.r2),
		estimateLine('mean absolute error', metrics.meanAbsoluteError),
		estimateLine('root mean squared error', metrics.rootMeanSquaredError),
	].join('\n');
}

function meanText({ mean, deviation }: NumberProbeFile, split: (typeof splits)[number]): string {
	const [middle, spread] = [mean[split], deviation[split]];
	return middle === null || spread === null ? '' : `mean ${middle.toPrecision(4)} ± ${spread.toPrecision(4)}`;
}

function survivalText(out: string, file: SurvivalProbeFile): string {
	const { probe, features, metrics } = file;
	return [
		`${out}: ${probe.kind === 'cox' ? 'Cox' : 'hazard'} probe on ${features.columns} features, L2 ${probe.l2}`,
		...countLines(file, (split) => `${file.events[split]} with the event`),
		estimateLine("Harrell's C", metrics.concordance),
		estimateLine("Uno's C", metrics.ipcwConcordance),
		...metrics.aurocs.map(({ horizonDays, auroc, nEvents, nBeyond }) =>
			estimateLine(`AUROC at ${horizonDays} days`, auroc, `, ${nEvents} events, ${nBeyond} followed beyond`),
		),
		estimateLine('integrated AUROC', metrics.integratedAuroc),
	].join('\n');
}

/** Samples of each split and what was left out. */
function countLines(
	{
		samples,
		patients,
		excluded,
		featuresWithoutLabel,
	}: Pick<ProbeFile, 'samples' | 'patients' | 'excluded' | 'featuresWithoutLabel'>,
	outcomes: (split: (typeof splits)[number]) => string,
): string[] {
	const left = Object.entries({ ...excluded, featuresWithoutLabel }).filter(([, count]) => count > 0);
	return [
		...splits.map((split) =>
			[`${split.padEnd(9)} ${samples[split]} samples of ${patients[split]} patients`, outcomes(split)]
				.filter((part) => part !== '')
				.join(', '),
		),
		...(left.length === 0
			? []
			: [`left out: ${left.map(([reason, count]) => `${count} ${words[reason]}`).join(', ')}`]),
	];
}

const words: Readonly<Record<string, string>> = {
	unlabelled: 'labels that are null',
	repeated: 'repeated labels',
	withoutFeatures: 'labels without features',
	withoutSplit: 'labels of subjects in no split',
	unknownClass: 'labels of classes that train does not have',
	featuresWithoutLabel: 'rows of features without a label',
};
