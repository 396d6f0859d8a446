import { join } from 'node:path';
import type { Argv } from 'yargs';
import { openMeds } from '../../data/meds.js';
import { DataError } from '../../errors.js';
import { exists } from '../../files/exists.js';
import { adapterConfigName, adapterWeightsName, readAdapterConfig } from '../../model/adapter-config.js';
import { machineComputeDtype } from '../../model/compute-dtype.js';
import { openPretrained } from '../../model/pretrained.js';
import { readSafetensorsHeader } from '../../model/safetensors.js';
import { nativeAddon } from '../../native.js';
import { packageVersion } from '../../package-version.js';
import { openTokenStore } from '../../store/token-store.js';
import { updatesOf } from '../../train/run-config.js';
import { RunFolder } from '../../train/run-folder.js';
import { type CommandContext, withContext } from '../context.js';
import { modelFolderKind } from '../open-any-model.js';
import { coverageLines } from './prepare.js';

export const builder = (yargs: Argv) =>
	yargs
		.positional('path', { type: 'string', describe: 'MEDS data set, token store, run folder or HuggingFace folder' })
		.example('$0 info runs/both', 'Configuration, checkpoints and last losses')
		.example('$0 info --json', 'Versions and processor for a bug report');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		if (args.path === undefined) return build(context);
		if (await exists(join(args.path, 'manifest.json'))) return store(context, args.path);
		const kind = await modelFolderKind(args.path);
		if (kind === 'run') return run(context, args.path);
		if (kind === 'huggingface') return pretrained(context, args.path);
		if (kind === 'adapter') return adapter(context, args.path);
		if (await exists(join(args.path, 'data'))) return meds(context, args.path);
		throw new DataError('info', {
			file: args.path,
			rule: 'must be a MEDS data set (data/), a token store (manifest.json), a run folder or a HuggingFace folder (config.json)',
		});
	});
}

async function build(context: CommandContext): Promise<void> {
	const { dtype, why } = machineComputeDtype();
	const info = {
		package: packageVersion,
		node: process.version,
		platform: `${process.platform}-${process.arch}`,
		...nativeAddon().buildInfo(),
		computeDtype: dtype,
	};
	context.result(
		Object.entries({ ...info, computeDtype: `${dtype} by default: ${why}` })
			.map(([key, value]) => `${key.padEnd(18)} ${value}`)
			.join('\n'),
		info,
	);
}

async function store(context: CommandContext, path: string): Promise<void> {
	await using opened = await openTokenStore(path);
	const { manifest } = opened;
	const lines = manifest.cohortFlow.map(
		({ stage, patients, events, tokens, note }) =>
			`${stage.padEnd(36)} ${patients} patients${events === undefined ? '' : `, ${events} events`}${tokens === undefined ? '' : `, ${tokens} tokens`}${note === undefined ? '' : ` (${note})`}`,
	);
	const { p0, p25, p50, p75, p90, p99, p100 } = manifest.splits.train.lengthPercentiles;
	const prefixLines = manifest.prefixes
		.slice(0, shownRows)
		.map(({ prefix, codes, events, unknown, values, binned }) => {
			const unknowns = unknown === undefined ? '' : `, ${share(unknown, events)} unknown`;
			const valued =
				values === undefined || values === 0 ? '' : `, ${values} values (${share(binned ?? 0, values)} binned)`;
			return `  ${prefix.padEnd(34)} ${events} events of ${codes} codes${unknowns}${valued}`;
		});
	const codeLines = manifest.topCodes
		.slice(0, shownRows)
		.map(({ code, events }) => `  ${code.padEnd(34)} ${events} events`);
	context.result(
		[
			`token store of ${manifest.dataset.name}, ${manifest.vocabulary.kind} vocabulary of ${manifest.vocabulary.size}`,
			...lines,
			`tokens per training patient: least ${p0}, quartiles ${p25}, ${p50} and ${p75}, 90 % below ${p90}, 99 % below ${p99}, most ${p100}`,
			...coverageLines(manifest),
			'events by the first part of their code:',
			...prefixLines,
			'most frequent codes:',
			...codeLines,
			...manifest.notes,
		].join('\n'),
		manifest,
	);
}

/** Rows of the lists; --json has all that the manifest holds. */
const shownRows = 10;

function share(part: number, whole: number): string {
	return `${((100 * part) / whole).toFixed(1)} %`;
}

async function run(context: CommandContext, path: string): Promise<void> {
	const folder = await RunFolder.open(path);
	const checkpoints = await folder.checkpoints();
	const last = (await folder.metrics()).at(-1);
	const { train, data } = folder.config;
	context.result(
		[
			`run of ${updatesOf(folder.config)} steps${folder.config.extendedTo === undefined ? '' : ` (extended; its schedules end at ${train.steps})`}, seed ${train.seed}, ${train.computeDtype}, vocabulary of ${data.vocabSize}`,
			`objective: ${JSON.stringify(train.objective)}`,
			`model: ${JSON.stringify(train.model)}`,
			`whole checkpoints at steps: ${checkpoints.map(({ step }) => step).join(', ') || 'none'}`,
			`last line: ${last === undefined ? 'none' : JSON.stringify(last)}`,
		].join('\n'),
		{ config: folder.config, checkpoints: checkpoints.map(({ step, directory }) => ({ step, directory })), last },
	);
}

async function pretrained(context: CommandContext, path: string): Promise<void> {
	const { config, vocabSize, entries, unread, prefix, notes } = await openPretrained(path);
	const parameters = entries.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
	const bytes = entries.reduce((sum, { begin, end }) => sum + end - begin, 0);
	const dtypes = [...new Set(entries.map(({ dtype }) => dtype))];
	const { shape } = config;
	context.result(
		[
			`${config.modelType}: Qwen3 decoder of ${parameters.toLocaleString('en-US')} parameters, ${dtypes.join(' and ')}`,
			`${shape.numHiddenLayers} layers of ${shape.hiddenSize}, ${shape.numAttentionHeads} heads (${shape.numKeyValueHeads} key/value) of ${shape.headDim}, SwiGLU ${shape.intermediateSize}, head ${shape.tieWordEmbeddings ? 'tied' : 'untied'}`,
			`vocabulary of ${vocabSize}, up to ${config.maxPositionEmbeddings ?? 'an unknown number of'} positions, RoPE theta ${shape.ropeTheta}, mask token ${config.maskTokenId ?? 'not recorded'}`,
			`${entries.length} tensors, ${bytes.toLocaleString('en-US')} bytes${prefix === 'model.' ? '' : `, ${prefix === '' ? 'without a prefix' : `behind the prefix ${prefix}`}`}: every rule of names, shapes and configuration checked`,
			...notes.map((note) => `note: ${note}`),
			...unread.map(({ name, reason }) => `not read: ${name} (${reason})`),
		].join('\n'),
		{ config, vocabSize, parameters, bytes, dtypes, tensors: entries.length, unread, prefix, notes },
	);
}

async function adapter(context: CommandContext, path: string): Promise<void> {
	const { lora, base } = await readAdapterConfig(join(path, adapterConfigName));
	const { entries } = await readSafetensorsHeader(join(path, adapterWeightsName));
	context.result(
		[
			`PEFT adapter over ${base ?? 'a base that it does not name'}: LoRA of rank ${lora.rank}, alpha ${lora.alpha}, on ${lora.targets.join(', ')}`,
			`${entries.length} tensors; no model by itself: merge it into its base before train --from, score, embed or export`,
		].join('\n'),
		{ lora, base, tensors: entries.length },
	);
}

async function meds(context: CommandContext, path: string): Promise<void> {
	const dataset = await openMeds(path);
	const { train, tuning, held_out } = dataset.subjects;
	const data = {
		name: dataset.name,
		etl: dataset.etl,
		fingerprint: dataset.fingerprint,
		files: dataset.files.length,
		events: dataset.events,
		subjects: { train: train.length, tuning: tuning.length, held_out: held_out.length },
		notes: dataset.notes,
	};
	context.result(
		[
			`MEDS data set ${dataset.name} (ETL ${dataset.etl.name} ${dataset.etl.version}): read as prepare reads it; \`ehr-jepa validate\` checks every rule of MEDS`,
			`${dataset.events} events in ${dataset.files.length} files; ${train.length} train, ${tuning.length} tuning, ${held_out.length} held-out subjects`,
			...dataset.notes.map((note) => `note: ${note}`),
		].join('\n'),
		data,
	);
}
