import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { openTokenStore, prepareStore, Sampler, type SamplerOptions } from '../../../lib/index.js';
import { Bins, firstFit, pack } from '../../../lib/sample/packing.js';
import { PatientOrder } from '../../../lib/sample/patient-order.js';
import { prefetchBatches } from '../../../lib/sample/prefetch.js';
import type { SampledStore } from '../../../lib/sample/sampler.js';
import type { PatientSource } from '../../../lib/sample/window-pool.js';
import type { Timeline } from '../../../lib/types.js';
import fc from '../../fixtures/property.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { timelines, timelineVocabulary } from '../../fixtures/timelines.js';
import { tinyPatient, writeTinyMeds } from '../../fixtures/tiny-meds.js';

const lengths = fc.array(fc.integer({ min: 1, max: 100 }), { maxLength: 60 });

t.test('packing: every sequence once, none too long, positions restart', async (t) => {
	fc.assert(
		fc.property(
			lengths,
			fc.integer({ min: 100, max: 300 }),
			fc.integer({ min: 1, max: 12 }),
			(list, maxTokens, count) => {
				const everyOnce = (members: number[]) => [...members].sort((a, b) => a - b).join() === [...list.keys()].join();
				const sum = (members: readonly number[]) => members.reduce((total, item) => total + list[item]!, 0);
				const fitted = firstFit(list, maxTokens);
				if (!everyOnce(fitted.flat()) || fitted.some((bin) => sum(bin) > maxTokens)) return false;
				const bins = new Bins(count, maxTokens);
				const unplaced = bins.firstFitDecreasing(list);
				if (!everyOnce([...bins.members.flat(), ...unplaced])) return false;
				if (bins.members.some((bin, i) => sum(bin) !== maxTokens - bins.free[i]!)) return false;
				// What found no room does not fit anywhere.
				return unplaced.every((item) => bins.free.every((free) => list[item]! > free));
			},
		),
		{ numRuns: 300 },
	);
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 }), (list) => {
			const { tokens, cuSeqlens, positionIds } = pack(list.map((length, i) => new Int32Array(length).fill(i)));
			return list.every((length, i) => {
				const [begin, end] = [cuSeqlens[i]!, cuSeqlens[i + 1]!];
				const own = tokens.subarray(begin, end);
				return (
					end - begin === length &&
					own.every((token) => token === i) &&
					positionIds.subarray(begin, end).every((p, j) => p === j)
				);
			});
		}),
	);
	t.throws(() => firstFit([5], 4), /must fit 4 tokens but sequence 0 has 5/);
});

t.test('the order of patients is a new permutation in every epoch', async (t) => {
	fc.assert(
		fc.property(
			fc.integer({ min: 1, max: 700 }),
			fc.integer({ min: 0, max: 2 ** 40 }),
			fc.integer({ min: 0, max: 50 }),
			(size, seed, epoch) => {
				const order = new PatientOrder(seed, size);
				const seen = new Set(Array.from({ length: size }, (_, i) => order.at(epoch * size + i)));
				return seen.size === size && [...seen].every((patient) => patient >= 0 && patient < size);
			},
		),
	);
	const big = new PatientOrder(3, 2 ** 31 - 1);
	for (let draw = 0; draw < 1000; draw++) t.ok(big.at(draw) < 2 ** 31 - 1);
	const epochs = [0, 1].map((epoch) =>
		Array.from({ length: 100 }, (_, i) => new PatientOrder(3, 100).at(100 * epoch + i)),
	);
	t.not(epochs[0]!.join(), epochs[1]!.join());
	// Where patient 0 comes, over many seeds: uniform, chi-squared with 9 degrees of freedom, p = 0.0001 at 33.7.
	const counts = new Float64Array(10);
	for (let seed = 0; seed < 2000; seed++) counts[new PatientOrder(seed, 10).at(0)]!++;
	t.ok(counts.reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0) < 33.7, counts.join());
});

/** A store of given records. */
function storeOf(records: readonly Timeline[]): SampledStore {
	const source: PatientSource = {
		size: records.length,
		timeline: async (index) => ({ ...records[index]!, subjectId: BigInt(index) }),
	};
	const counts = { patients: records.length, trainable: records.filter(({ days }) => days.length >= 2).length };
	return {
		manifest: { splits: { train: counts, tuning: counts, held_out: counts } },
		vocabulary: timelineVocabulary,
		split: () => source,
	};
}
const records = fc
	.array(timelines, { minLength: 1, maxLength: 30 })
	.filter((list) => list.some(({ days }) => days.length >= 2));
const options = fc.record({
	contextTokens: fc.integer({ min: 4, max: 60 }),
	futureTokens: fc.integer({ min: 1, max: 40 }),
	tokensPerBatch: fc.integer({ min: 12, max: 250 }),
	seed: fc.integer({ min: 0, max: 1000 }),
	branches: fc.constantFrom(null, { branch: { kind: 'query' as const, at: 'day-ends' as const }, cuts: 2 }),
	poolBatches: fc.integer({ min: 1, max: 6 }),
});

t.test('every window that was drawn is in one batch, whole, and of one patient', async (t) => {
	await fc.assert(
		fc.asyncProperty(records, options, async (list, chosen) => {
			const sampler = new Sampler(storeOf(list), 'train', chosen);
			const { batches: windows, counts } = await sampler.pool(0);
			if (windows.flat().length !== counts.drawn - counts.unplaced) return false;
			for (let step = 1; step <= chosen.poolBatches; step++) {
				const drawn = windows[step - 1]!;
				const batch = await sampler.batch(step);
				const { tokens, cuSeqlens, positionIds, contextLengths, subjectIds } = batch;
				if (tokens.length > chosen.tokensPerBatch || cuSeqlens.at(-1) !== tokens.length) return false;
				if (cuSeqlens.length !== drawn.length + 1) return false;
				for (const [i, window] of drawn.entries()) {
					const own = tokens.subarray(cuSeqlens[i], cuSeqlens[i + 1]);
					if (own.join() !== window.tokens.join() || subjectIds[i] !== window.subjectId) return false;
					if (contextLengths[i]! < 1 || contextLengths[i]! >= own.length) return false;
					if (positionIds[cuSeqlens[i]!] !== 0 || positionIds[cuSeqlens[i + 1]! - 1] !== own.length - 1) return false;
					// The record's tokens number their places: those of a window follow each other across the cut.
					const record = list[Number(window.subjectId)]!;
					const places = [...own].filter((token) => token >= 1000);
					if (!places.every((token, j) => token === places[0]! + j)) return false;
					if (record.dayOffsets.indexOf(own[contextLengths[i]!]! - 1000) < 1) return false;
				}
			}
			return true;
		}),
		{ numRuns: 200 },
	);
	t.pass();
});

t.test('a batch follows from seed, step, rank and world size alone', async (t) => {
	await fc.assert(
		fc.asyncProperty(records, options, fc.integer({ min: 1, max: 4 }), async (list, chosen, worldSize) => {
			for (let rank = 0; rank < worldSize; rank++) {
				const make = () => new Sampler(storeOf(list), 'train', { ...chosen, rank, worldSize });
				const straight = [];
				for await (const batch of make().batches(1, 8)) straight.push(batch);
				const resumed = [];
				for await (const batch of make().batches(5, 8)) resumed.push(batch);
				if (!t.same(resumed, straight.slice(4))) return false;
			}
			return true;
		}),
		{ numRuns: 15 },
	);
});

/** Records of plausible lengths: a few to some hundred days, log-normal, of a few tokens each. */
const plausible = fc.sample(
	fc
		.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 2, max: 40 }), fc.integer({ min: 0, max: 3 }))
		.map(([days, perDay, statics]): Timeline => {
			const dayOffsets = Int32Array.from({ length: days + 1 }, (_, i) => i * perDay);
			return {
				...fc.sample(timelines, { numRuns: 1, seed: 1 })[0]!,
				staticTokens: new Int32Array(statics),
				tokens: Int32Array.from({ length: days * perDay }, (_, i) => 1000 + i),
				days: Int32Array.from({ length: days }, (_, i) => 18_000 + i),
				dayOffsets,
				times: BigInt64Array.from({ length: days }, (_, i) => BigInt(18_000 + i) * 86_400_000_000n),
				timeOffsets: dayOffsets,
			};
		}),
	{ numRuns: 5000, seed: 7 },
);

t.test('batches of 3,300 tokens are at least 97 % full, and ranks never share a patient', async (t) => {
	for (const [contextTokens, futureTokens] of [
		[2200, 1100],
		[800, 200],
	] as const) {
		const store = storeOf(plausible);
		const chosen = { contextTokens, futureTokens, tokensPerBatch: 3300, seed: 5, branches: null };
		const seen = new Map<bigint, number>();
		for (let rank = 0; rank < 3; rank++) {
			const sampler = new Sampler(store, 'train', { ...chosen, rank, worldSize: 3 });
			let tokens = 0;
			for await (const batch of sampler.batches(1, 64)) {
				tokens += batch.tokens.length;
				for (const subject of batch.subjectIds) {
					t.ok((seen.get(subject) ?? rank) === rank, `${subject} belongs to one rank`);
					seen.set(subject, rank);
				}
			}
			t.ok(tokens / 64 / 3300 >= 0.97, `${((100 * tokens) / 64 / 3300).toFixed(2)} % full`);
			const { counts } = await sampler.pool(0);
			t.equal(counts.unplaced, 0);
			t.ok(counts.singleDay > 0 && counts.passedOver < counts.drawn / 5, JSON.stringify(counts));
		}
	}
	t.throws(
		() =>
			new Sampler(storeOf(plausible), 'train', {
				contextTokens: 4,
				futureTokens: 4,
				tokensPerBatch: 9,
				seed: 1,
				branches: null,
				rank: 2,
				worldSize: 2,
			}),
		{
			code: 'EHR_JEPA_CONFIG',
			message: /rank: must be below worldSize/,
		},
	);
	t.throws(
		() =>
			new Sampler(storeOf([{ ...plausible[0]!, days: Int32Array.of(1) }]), 'train', {
				contextTokens: 4,
				futureTokens: 4,
				tokensPerBatch: 9,
				seed: 1,
				branches: null,
			}),
		{
			code: 'EHR_JEPA_DATA',
			message: /at least 2 days/,
		},
	);
});

async function preparedStore(t: Parameters<typeof temporaryFolder>[0]): Promise<string> {
	const folder = temporaryFolder(t);
	const ids = Array.from({ length: 20 }, (_, i) => i + 1);
	const meds = await writeTinyMeds(
		join(folder, 'meds'),
		{ '0.parquet': ids.flatMap((id) => tinyPatient(id, [2, 3, 5, 9, 14].slice(0, 2 + (id % 4)))) },
		Object.fromEntries(ids.map((id) => [id, 'train'])),
	);
	await prepareStore(meds, join(folder, 'store'));
	return join(folder, 'store');
}
const small: SamplerOptions = {
	contextTokens: 20,
	futureTokens: 10,
	tokensPerBatch: 80,
	seed: 3,
	branches: { branch: { kind: 'masked', ratio: 0.5, span: 1 }, cuts: 2 },
	poolBatches: 4,
};

t.test('a thread that draws ahead gives the same batches, and ends when the loop does', async (t) => {
	const directory = await preparedStore(t);
	const store = await openTokenStore(directory);
	for (const chosen of [small, { ...small, branches: null }]) {
		const expected = [];
		for await (const batch of new Sampler(store, 'train', chosen).batches(3, 40)) expected.push(batch);
		const found = [];
		for await (const batch of prefetchBatches(store, 'train', chosen, 3, 40)) found.push(batch);
		t.same(found, expected);
	}
	for await (const _ of prefetchBatches(store, 'train', small, 1, 1000)) break;
	const controller = new AbortController();
	await t.rejects(
		async () => {
			for await (const _ of prefetchBatches(store, 'train', small, 1, 1000, controller.signal)) controller.abort();
		},
		{ code: 'ABORT_ERR' },
	);
	await t.rejects(
		async () => {
			for await (const _ of prefetchBatches(store, 'train', { ...small, rank: 1 }, 1, 10));
		},
		{ code: 'EHR_JEPA_CONFIG' },
	);
	await store.close();
	rmSync(join(directory, 'manifest.json'));
	await t.rejects(
		async () => {
			for await (const _ of prefetchBatches({ directory }, 'train', small, 1, 10));
		},
		{ code: 'EHR_JEPA_DATA', name: 'DataError', message: /must be the manifest of a token store/ },
	);
});

t.test('a process that leaves the loop exits by itself', async (t) => {
	const directory = await preparedStore(t);
	const module = new URL('../../../lib/sample/prefetch.js', import.meta.url).href;
	const worker = new Worker(
		`import(${JSON.stringify(module)}).then(async ({ prefetchBatches }) => {
			for await (const _ of prefetchBatches({ directory: ${JSON.stringify(directory)} }, 'train', ${JSON.stringify(small)}, 1, 500)) break;
		});`,
		{ eval: true },
	);
	const [code] = await once(worker, 'exit');
	t.equal(code, 0);
});
