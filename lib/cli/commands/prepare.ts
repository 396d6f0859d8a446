import type { Argv } from 'yargs';
import { prepareStore } from '../../store/prepare.js';
import { withContext } from '../context.js';

export const command = 'prepare <meds> <out>';
export const describe = 'Tokenise a MEDS data set into a token store';

export const builder = (yargs: Argv) =>
	yargs
		.positional('meds', {
			type: 'string',
			demandOption: true,
			describe: 'Root of a MEDS data set (holds data/ and metadata/)',
		})
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for the token store' })
		.option('vocabulary', { type: 'string', describe: 'Use this vocabulary.json instead of fitting one' })
		.option('min-patients', {
			type: 'number',
			default: 5,
			describe: 'Codes that fewer training patients have are grouped by prefix',
		})
		.option('bins', { type: 'number', default: 10, describe: 'Quantile bins per code' })
		.option('seed', { type: 'number', default: 1, describe: 'Draws splits where the data set brings none' })
		.option('max-unknown', {
			type: 'number',
			default: 0.2,
			describe: 'Largest share of events that a given vocabulary may not know',
		})
		.example('$0 prepare cohort store', 'Writes store/{train,tuning,held_out}.arrow, vocabulary.json, manifest.json');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { meds, out, vocabulary, minPatients, bins, seed, maxUnknown } = args;
		const options = { minPatients, bins, seed, maxUnknown, ...(vocabulary === undefined ? {} : { vocabulary }) };
		const manifest = await prepareStore(meds, out, options, context.operation());
		const { coverage, splits } = manifest;
		const tokens = splits.train.tokens + splits.tuning.tokens + splits.held_out.tokens;
		const lines = [
			`${out}: ${coverage.events} events became ${tokens} tokens of a vocabulary of ${manifest.vocabulary.size}`,
			`codes: ${coverage.known} events known, ${coverage.backed_off} as a group, ${coverage.unknown} unknown; values: ${coverage.valuesBinned} binned, ${coverage.valuesWithoutBin} without a bin, ${coverage.textOnly} text only`,
			...manifest.notes.map((note) => `note: ${note}`),
		];
		context.result(lines.join('\n'), manifest);
	});
}
