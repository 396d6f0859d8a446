/** A split in which nearly every patient has a single day still fills every batch. */
import fc from 'fast-check';
import t from 'tap';
import { type SampledStore, Sampler } from '../../lib/sample/sampler.js';
import { timelines, timelineVocabulary } from '../fixtures/timelines.js';

const drawn = fc.sample(timelines, { numRuns: 200, seed: 7 });
const single = drawn.filter(({ days }) => days.length === 1).slice(0, 12);
const trainable = drawn.find(({ days }) => days.length > 2)!;

function storeOf(list: typeof drawn): SampledStore {
	const counts = { patients: list.length, trainable: 1 };
	return {
		vocabulary: timelineVocabulary,
		manifest: { splits: { train: counts, tuning: counts, held_out: counts } },
		split: () => ({ size: list.length, timeline: async (index) => list[index]! }),
	};
}

t.test('whatever the place of the one patient who can be cut', async (t) => {
	const list = [trainable, ...single.slice(0, 2)];
	t.equal(list.length, 3);
	for (let seed = 0; seed < 40; seed++) {
		const sampler = new Sampler(storeOf(list), 'train', {
			contextTokens: 8,
			futureTokens: 2,
			tokensPerBatch: 12,
			seed,
			branches: null,
			poolBatches: 1,
		});
		for await (const batch of sampler.batches(1, 6)) t.ok(batch.tokens.length > 0);
	}
});
