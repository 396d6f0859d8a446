import type { Argv } from 'yargs';
import { ConfigError } from '../../errors.js';
import { readJson } from '../../files/json.js';
import { assembleStoreOfShards, prepareShard, prepareStore } from '../../prepare/prepare.js';
import type { PrepareOptions } from '../../prepare/prepare-options.js';
import type { StoreManifest } from '../../store/manifest.js';
import type { SerialiserOptionsInput } from '../../text/serialiser.js';
import { withContext } from '../context.js';
import { shardOf } from '../divided.js';
import { lifeCodesOf, withLifeCodes } from '../life-code-options.js';

export const builder = (yargs: Argv) =>
	withLifeCodes(yargs)
		.positional('meds', {
			type: 'string',
			demandOption: true,
			describe: 'Root of a MEDS data set (holds data/ and metadata/)',
		})
		.positional('out', { type: 'string', demandOption: true, describe: 'New folder for the token store' })
		.option('tokens', {
			choices: ['structured', 'text'] as const,
			default: 'structured' as const,
			describe: 'Codes, bins and gaps, or serialised text in the tokens of a Qwen model',
		})
		.option('tokenizer', { type: 'string', describe: 'Text: folder with the tokenizer of a Qwen model' })
		.option('serialiser', { type: 'string', describe: 'Text: JSON file with options of the serialiser' })
		.option('special-tokens', {
			choices: ['text', 'ids'] as const,
			describe:
				"Text: a special token written in a record is ordinary text (default), or its id as in Python's tokenizers",
		})
		.option('vocab-size', {
			type: 'number',
			describe: "Text: rows of the embedding; default: as config.json beside the tokenizer says, else Qwen's",
		})
		.option('vocabulary', { type: 'string', describe: 'Structured: use this vocabulary.json instead of fitting one' })
		.option('min-patients', {
			type: 'number',
			describe: 'Structured: codes that fewer training patients have are grouped by prefix; default 5',
		})
		.option('bins', { type: 'number', describe: 'Structured: quantile bins per code; default 10' })
		.option('max-unknown', {
			type: 'number',
			describe: 'Structured: largest share of events that a given vocabulary may not know; default 0.2',
		})
		.option('threads', { type: 'number', describe: 'Default: as many as the machine runs at once' })
		.option('shard', { type: 'string', describe: 'i/n: tokenise the i-th of n shares alone, beside other jobs' })
		.option('assemble', { type: 'boolean', default: false, describe: 'Make the store when all shards are done' })
		.example('$0 prepare cohort store --shard 2/8', 'One of eight jobs over a shared folder; then --assemble')
		.example('$0 prepare cohort store', 'Writes store/{train,tuning,held_out}/, vocabulary.json, manifest.json')
		.example('$0 prepare cohort store --tokens text --tokenizer Qwen3-1.7B', 'The same records as text');

type Arguments = Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>;

export async function handler(args: Arguments): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const { meds, out, threads } = args;
		const options: PrepareOptions = {
			tokens: await tokensOf(args),
			lifeCodes: lifeCodesOf(args),
			...(threads === undefined ? {} : { threads }),
		};
		const shard = shardOf('prepare', args);
		if (shard !== undefined) {
			const { parts, ofParts } = await prepareShard(meds, out, shard, options, context.operation());
			context.result(
				`${out}: shard ${args.shard} is done, ${parts} of ${ofParts} parts; --assemble makes the store when all shards are`,
				{ shard, parts, ofParts },
			);
			return;
		}
		const prepare = args.assemble ? assembleStoreOfShards : prepareStore;
		const manifest = await prepare(meds, out, options, context.operation());
		const { splits } = manifest;
		const tokens = splits.train.tokens + splits.tuning.tokens + splits.held_out.tokens;
		const lines = [
			`${out}: ${manifest.coverage.events} events became ${tokens} tokens of a vocabulary of ${manifest.vocabulary.size}`,
			...coverageLines(manifest),
			...manifest.notes.map((note) => `note: ${note}`),
		];
		context.result(lines.join('\n'), manifest);
	});
}

/** What became of the events, in words. */
export function coverageLines({ coverage }: StoreManifest): string[] {
	if (coverage.kind === 'structured') {
		const { known, backed_off, unknown, valuesBinned, valuesWithoutBin, valuesInOtherUnit, textOnly } = coverage;
		return [
			`codes: ${known} events known, ${backed_off} as a group, ${unknown} unknown; values: ${valuesBinned} binned, ${valuesWithoutBin} without a bin, ${valuesInOtherUnit} in another unit, ${textOnly} text only`,
		];
	}
	const shown = (counts: Readonly<Record<string, number>>) =>
		Object.entries(counts)
			.filter(([, count]) => count > 0)
			.map(([name, count]) => `${name} ${count}`)
			.join(', ');
	const unmapped = Object.entries({ ...coverage.unmappedCodes, ...coverage.unmappedTables });
	return [
		`text: ${coverage.written} events written; left out: ${shown(coverage.dropped) || 'none'}`,
		`categories: ${shown(coverage.categories)} (${coverage.fromTable} by table, ${coverage.fromCode} by code)`,
		...(unmapped.length === 0
			? []
			: [
					`without a category: ${shown(Object.fromEntries(unmapped.slice(0, 5)))}${unmapped.length > 5 ? ', ...' : ''}`,
				]),
	];
}

async function tokensOf(args: Arguments): Promise<NonNullable<PrepareOptions['tokens']>> {
	const { vocabulary, minPatients, bins, maxUnknown, tokenizer, serialiser, specialTokens, vocabSize } = args;
	const structured = {
		...(vocabulary === undefined ? {} : { vocabulary }),
		...(minPatients === undefined ? {} : { minPatients }),
		...(bins === undefined ? {} : { bins }),
		...(maxUnknown === undefined ? {} : { maxUnknown }),
	};
	if (args.tokens === 'structured') {
		if ([tokenizer, serialiser, specialTokens, vocabSize].some((option) => option !== undefined))
			throw new ConfigError(
				'[prepare] --tokenizer, --serialiser, --special-tokens and --vocab-size belong to --tokens text but it is structured',
			);
		return { kind: 'structured', ...structured };
	}
	if (Object.keys(structured).length > 0)
		throw new ConfigError(
			'[prepare] --vocabulary, --min-patients, --bins and --max-unknown belong to --tokens structured but it is text',
		);
	if (tokenizer === undefined)
		throw new ConfigError('[prepare] --tokenizer must be given with --tokens text; name the folder of a Qwen model');
	const text = {
		kind: 'text' as const,
		tokenizer,
		...(specialTokens === undefined ? {} : { specialTokens }),
		...(vocabSize === undefined ? {} : { vocabSize }),
	};
	return serialiser === undefined ? text : { ...text, serialiser: await readOptions(serialiser) };
}

/** The schema of the options is checked where they are used. */
async function readOptions(file: string): Promise<SerialiserOptionsInput> {
	const about = { scope: 'prepare --serialiser', rule: 'must be a JSON file', error: ConfigError };
	return (await readJson(file, about)) as SerialiserOptionsInput;
}
