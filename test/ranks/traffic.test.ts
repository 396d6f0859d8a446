/** What ranks send in an update, counted where it is handed to gloo, against what a plan says. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { TrainConfigInput } from '../../lib/index.js';
import { planTraffic } from '../../lib/train/traffic.js';
import { TrainConfig } from '../../lib/train/train-config.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { freePort, rankEnvironments, startProgram, tinyRun } from './launched.js';

const folder = temporaryFolder(t);
const script = fileURLToPath(new URL('traffic-of-rank.js', import.meta.url));
const ranks = 3;
// Large enough that counts, losses and norms are little beside it. The last step, with a reading of the monitors, is not counted.
const base: TrainConfigInput = {
	...tinyRun,
	model: { ...tinyRun.model, hiddenSize: 96, intermediateSize: 192, numHiddenLayers: 3 },
	steps: 3,
	collapseEvery: 0,
	tuningEvery: 0,
	checkpointEvery: 0,
};
const runs: readonly TrainConfigInput[] = [
	{ ...base, parallel: { kind: 'ddp' } },
	{ ...base, parallel: { kind: 'zero1' } },
	{ ...base, parallel: { kind: 'zero2' } },
	{ ...base, parallel: { kind: 'zero3' }, microBatches: 2, computeDtype: 'bfloat16' },
];

/** Of one rank, in a step of each run. */
async function sentBytes(env: Readonly<Record<string, string>>): Promise<number[]> {
	const args = [script, join(folder, 'store'), folder, JSON.stringify(runs)];
	const { code, stdout, stderr } = await startProgram(process.execPath, args, env).ended;
	if (code !== 0) throw new Error(`a rank ended with ${code}: ${stderr}`);
	return JSON.parse(stdout) as number[];
}

t.test('bytes of an update are those of the plan within 2 %, for every kind', async (t) => {
	const store = await simulatedStore(folder);
	const vocabSize = store.vocabulary.size;
	await store.close();
	const ofRanks = await Promise.all(rankEnvironments(ranks, await freePort()).map(sentBytes));
	for (const [i, run] of runs.entries()) {
		const config = TrainConfig.parse(run);
		const mean = ofRanks.reduce((sum, bytes) => sum + bytes[i]!, 0) / ranks;
		const { gradients, parameters, target } = planTraffic(config, vocabSize, ranks);
		const share = mean / (gradients + parameters + target);
		t.ok(Math.abs(share - 1) < 0.02, `${config.parallel.kind}: ${mean} bytes, ${share} of those planned`);
	}
});
