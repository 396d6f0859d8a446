/** A split in which nearly every patient has a single day still fills every batch. */

import t from 'tap';
import { type SampledStore, Sampler } from '../../lib/sample/sampler.js';
import fc from '../fixtures/property.js';
import { timelines, timelineVocabulary } from '../fixtures/timelines.js';

const drawn = fc.sample(timelines, { numRuns: 200, seed: 7 });
const single = drawn.filter(({ days }) => days.length === 1).slice(0, 12);
const trainable = drawn.filter(({ days }) => days.length > 1).slice(0, 40);

function storeOf(list: typeof drawn): SampledStore {
	const counts = { patients: list.length, trainable: 1 };
	return {
		vocabulary: timelineVocabulary,
		manifest: { splits: { train: counts, tuning: counts, held_out: counts } },
		split: () => ({ size: list.length, timeline: async (index) => list[index]! }),
	};
}

t.test('whoever the one patient is who can be cut', async (t) => {
	for (const [seed, patient] of trainable.entries()) {
		const sampler = new Sampler(storeOf([patient, ...single.slice(0, 2)]), 'train', {
			contextTokens: 8,
			futureTokens: 2,
			tokensPerBatch: 12,
			seed,
			branches: null,
			poolBatches: 1,
		});
		for await (const batch of sampler.batches(1, 8)) t.ok(batch.tokens.length > 0);
	}
});
