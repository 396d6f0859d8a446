/**
 * How much memory does a rank take, and is it what `plan` says? `npm run bench -- rank-memory [--ranks 1 2 4] [--json FILE]`. Each kind
 * on each number of ranks trains three updates in processes of their own; the largest resident memory of any rank stands against
 * `peak` of the plan.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { TrainConfigInput } from '../lib/index.js';
import { planMemory } from '../lib/train/memory-plan.js';
import { TrainConfig } from '../lib/train/train-config.js';
import { simulatedStore } from '../test/fixtures/simulated-store.js';
import { trainRuns } from '../test/ranks/launched.js';
import { bareRun } from './ranks/bare-run.js';

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- rank-memory')
	.option('ranks', { type: 'number', array: true, default: [1, 2, 4] })
	.option('kinds', { type: 'string', array: true, default: ['ddp', 'zero1', 'zero2', 'zero3'] })
	.option('layers', { type: 'number', default: 8 })
	.option('hidden', { type: 'number', default: 512 })
	.option('json', { type: 'string', describe: 'File for the rows' })
	.strict()
	.parseAsync();

const { layers, hidden } = options;
const base: TrainConfigInput = {
	...bareRun(options),
	contextTokens: 48,
	futureTokens: 24,
	tokensPerStep: 512,
	steps: 3,
};

const folder = mkdtempSync(join(tmpdir(), 'ehr-jepa-rank-memory-'));
const store = await simulatedStore(folder);
const vocabSize = store.vocabulary.size;
await store.close();
const rows: { readonly kind: string; readonly ranks: number; readonly planned: number; readonly measured: number }[] =
	[];
for (const ranks of options.ranks) {
	for (const kind of ranks === 1 ? ['ddp'] : options.kinds) {
		const run = { ...base, parallel: { kind } } as TrainConfigInput;
		const config = TrainConfig.parse(run);
		const share = { ...config, tokensPerStep: Math.ceil(config.tokensPerStep / ranks) };
		const runs = join(folder, `${kind}-${ranks}`);
		const ofRanks = await trainRuns(join(folder, 'store'), runs, [run], ranks);
		rmSync(runs, { recursive: true });
		const measured = Math.max(...ofRanks.map(([only]) => only!.peakRss));
		const planned = planMemory(share, vocabSize, { ranks }).peak;
		rows.push({ kind, ranks, planned, measured });
		const shown = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
		console.log(
			`${kind}, ${ranks} ranks: planned ${shown(planned)}, measured ${shown(measured)}, ${(measured / planned).toFixed(2)} of it`,
		);
	}
}
rmSync(folder, { recursive: true });
if (options.json !== undefined) {
	const machine = { processor: cpus()[0]?.model, cores: cpus().length };
	writeFileSync(options.json, `${JSON.stringify({ machine, layers, hidden, rows }, undefined, '\t')}\n`);
}
