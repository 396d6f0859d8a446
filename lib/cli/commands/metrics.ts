import type { Argv } from 'yargs';
import { type PredictionMetricsFile, predictionMetrics } from '../../evaluate/given/prediction-metrics.js';
import { withContext } from '../context.js';
import { estimateLine, metricWords } from '../estimate-line.js';
import { namedFile } from '../named-file.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('out', { type: 'string', describe: 'JSON file to write' })
		.option('model', {
			type: 'string',
			array: true,
			demandOption: true,
			describe: "name=predictions.parquet in meds-evaluation's schema, once per model; all of one task and horizon",
		})
		.option('draws', { type: 'number', default: 1000, describe: 'Bootstrap resamples of patients' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws the resamples' })
		.example(
			'$0 metrics --model ours=predictions/both/death/365d/held_out.parquet --model theirs=theirs.parquet',
			'On the samples that both have',
		);

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const predictions = args.model.map((text) => {
			const [name, path] = namedFile('metrics', 'model', text, 'predictions.parquet');
			return { name, path };
		});
		const { out, draws, seed } = args;
		const file = await predictionMetrics(
			{ predictions, draws, seed, ...(out === undefined ? {} : { out }) },
			context.operation(),
		);
		context.result(text(file), file);
	});
}

function text({ samples, patients, positives, prevalence, models, differences }: PredictionMetricsFile): string {
	const share = `${(100 * prevalence).toPrecision(3)} %`;
	return [
		`${samples} samples of ${patients} patients, ${positives} positive (${share})`,
		...models.flatMap(({ name, metrics, unlabelled, notInAll }) => [
			'',
			`${name}${unlabelled > 0 ? `, ${unlabelled} rows without a label left out` : ''}${notInAll > 0 ? `, ${notInAll} samples that others lack left out` : ''}`,
			...Object.entries(metricWords).map(([metric, words]) =>
				estimateLine(`  ${words}`, metrics[metric as keyof typeof metricWords]),
			),
		]),
		...differences.flatMap(({ a, b, metric, difference }, i) => [
			...(a === differences[i - 1]?.a && b === differences[i - 1]?.b ? [] : ['', `${a} - ${b}`]),
			estimateLine(`  ${metricWords[metric]}`, difference),
		]),
	].join('\n');
}
