/** What ranks send in an update, counted where it is handed to gloo, against what a plan says. */
import { join } from 'node:path';
import t from 'tap';
import type { TrainConfigInput } from '../../lib/index.js';
import { planTraffic } from '../../lib/train/traffic.js';
import { TrainConfig } from '../../lib/train/train-config.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyRun, trainRuns } from './launched.js';

const folder = temporaryFolder(t);
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
	{ ...base, parallel: { kind: 'ddp', collectives: 'bfloat16' } },
	{ ...base, parallel: { kind: 'zero2' } },
	{ ...base, parallel: { kind: 'zero3' }, microBatches: 2, computeDtype: 'bfloat16' },
];

t.test('bytes of an update are those of the plan within 2 %, for every kind', async (t) => {
	const store = await simulatedStore(folder);
	const vocabSize = store.vocabulary.size;
	await store.close();
	const ofRanks = await trainRuns(join(folder, 'store'), folder, runs, ranks);
	for (const [i, run] of runs.entries()) {
		const config = TrainConfig.parse(run);
		const mean = ofRanks.reduce((sum, bytes) => sum + bytes[i]!.all, 0) / ranks;
		const { gradients, parameters, target } = planTraffic(config, vocabSize, ranks);
		const share = mean / (gradients + parameters + target);
		const { kind, collectives } = config.parallel;
		t.ok(Math.abs(share - 1) < 0.02, `${kind}, ${collectives}: ${mean} bytes, ${share} of those planned`);
	}
});
