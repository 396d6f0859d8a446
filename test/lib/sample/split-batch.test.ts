import t from 'tap';
import type { TrainingBatch } from '../../../lib/index.js';
import { Sampler } from '../../../lib/index.js';
import type { LatentBranch } from '../../../lib/sample/branch-options.js';
import { splitBatch } from '../../../lib/sample/split-batch.js';
import { simulatedStore } from '../../fixtures/simulated-store.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const branches: readonly (LatentBranch | null)[] = [
	null,
	{ kind: 'masked', ratio: 0.5, span: 1 },
	{ kind: 'query', at: 'day-ends' },
	{ kind: 'state' },
	{ kind: 'views', predictorTokens: 1 },
];

/** Each sequence of a batch with all that belongs to it, wherever it lies: as text that can be compared. */
function sequencesOf(batch: TrainingBatch): string[] {
	const { cuSeqlens, branches } = batch;
	const own = (sequence: number) =>
		[...branches.sequences].flatMap((of, i) => {
			if (of !== sequence) return [];
			const rows = [branches.cuRows[i]!, branches.cuRows[i + 1]!] as const;
			const targets = [...branches.targets.subarray(...rows)];
			return [
				{
					cut: branches.cuts[i],
					tokens: [...branches.tokens.subarray(...rows)],
					positions: [...branches.positionIds.subarray(...rows)],
					targets: targets.map((row) => (row < 0 ? row : row - cuSeqlens[sequence]!)),
					days: [...branches.days.subarray(...rows)],
				},
			];
		});
	return [...batch.contextLengths].map((context, i) =>
		JSON.stringify({
			subject: String(batch.subjectIds[i]),
			context,
			tokens: [...batch.tokens.subarray(cuSeqlens[i], cuSeqlens[i + 1])],
			positions: [...batch.positionIds.subarray(cuSeqlens[i], cuSeqlens[i + 1])],
			branches: own(i),
		}),
	);
}

t.test('parts of a batch hold each of its sequences once, with its branches', async (t) => {
	await using store = await simulatedStore(temporaryFolder(t));
	for (const branch of branches) {
		const sampler = new Sampler(store, 'train', {
			contextTokens: 48,
			futureTokens: 24,
			tokensPerBatch: 512,
			seed: 3,
			branches: branch === null ? null : { branch, cuts: 2 },
			poolBatches: 2,
		});
		const batch = await sampler.batch(1);
		const whole = sequencesOf(batch);
		for (const count of [1, 2, 3, 4, whole.length + 2]) {
			const parts = splitBatch(batch, count);
			t.equal(parts.length, count);
			t.same(parts.flatMap(sequencesOf).sort(), [...whole].sort(), `${branch?.kind} in ${count} parts`);
			t.same(splitBatch(batch, count), parts, 'the same parts each time');
		}
		const sizes = splitBatch(batch, 2).map(({ tokens, branches }) => tokens.length + branches.tokens.length);
		t.ok(Math.abs(sizes[0]! - sizes[1]!) <= 0.2 * Math.max(...sizes), `${branch?.kind}: ${sizes.join(' and ')} rows`);
		t.ok(
			splitBatch(batch, whole.length + 2).some(({ tokens }) => tokens.length === 0),
			'a part may be empty',
		);
	}
});
