/**
 * How fast does a HuggingFace folder become a model, and in how much memory? `npm run bench -- loading [--size qwen3-1.7b]
 * [--json FILE] [--work DIR]`. Random bfloat16 weights of the shape are written first, so that the file is in the page cache;
 * every row is a process of its own, and the exported shards must hold the same bytes.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { type ModelSize, modelSizes } from '../lib/model/qwen3-config.js';
import type { Measured, Stage } from './loading/stages.js';
import { inOwnProcess } from './stages/own-process.js';

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- loading')
	.option('size', {
		choices: Object.keys(modelSizes) as ModelSize[],
		default: 'qwen3-1.7b' as ModelSize,
		describe: 'Shape of the model',
	})
	.option('vocab-size', { type: 'number', default: 151_936, describe: 'Rows of the embedding' })
	.option('tokens', { type: 'number', default: 1024, describe: 'Tokens of the forward pass' })
	.option('json', { type: 'string', describe: 'File for the rows' })
	.option('work', { type: 'string', describe: 'Folder for the two models (7 GB); absent: a temporary one' })
	.strict()
	.parseAsync();

const work = options.work ?? mkdtempSync(join(tmpdir(), 'ehr-jepa-bench-'));
const input = {
	model: join(work, 'model'),
	out: join(work, 'exported'),
	size: options.size,
	vocabSize: options.vocabSize,
	tokens: options.tokens,
};
/** Seconds of a row, and its peak of memory as a multiple of the file, for the published shape. */
const limits: Partial<Record<Stage, { readonly seconds: number; readonly peak: number }>> = {
	mapped: { seconds: 0.5, peak: 1.1 },
	owned: { seconds: 1.5, peak: 1.1 },
};

const rows = [];
console.log(`${options.size}, ${cpus()[0]?.model}, ${cpus().length} cores, node ${process.version}`);
try {
	for (const stage of ['write', 'mapped', 'owned', 'forward', 'export', 'reload'] as const) {
		const script = new URL('./loading/stages.js', import.meta.url);
		const found = await inOwnProcess<Measured>(script, stage, { stage, input });
		const peak = (found.peakMiB * 2 ** 20) / statSync(join(input.model, 'model.safetensors')).size;
		const limit = options.size === 'qwen3-1.7b' ? limits[stage] : undefined;
		const met = limit === undefined ? null : found.seconds <= limit.seconds && peak <= limit.peak;
		rows.push({ name: stage, ...found, peakOverFile: peak, limit: limit ?? null, met });
		const asked = limit === undefined ? '' : `  ${limit.seconds} s, ${limit.peak}x: ${met ? 'met' : 'NOT met'}`;
		console.log(
			`${stage.padEnd(8)} ${found.seconds.toFixed(2).padStart(7)} s, peak ${found.peakMiB} MiB (${peak.toFixed(2)}x the file); ${found.note}${asked}`,
		);
	}
} finally {
	if (options.work === undefined) rmSync(work, { recursive: true, force: true });
}
if (options.json !== undefined)
	writeFileSync(
		options.json,
		`${JSON.stringify({ size: options.size, cpu: cpus()[0]?.model, rows }, undefined, '\t')}\n`,
	);
