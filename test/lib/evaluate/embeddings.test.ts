import { join } from 'node:path';
import t from 'tap';
import { withDatabase } from '../../../lib/data/query.js';
import {
	type EncoderChoice,
	embed,
	type FeatureTable,
	type IndexDate,
	openTokenStore,
	type Pooling,
	prepareStore,
	readEmbeddings,
	simulateCohort,
	type TokenStore,
	WorldModel,
	writeEmbeddings,
} from '../../../lib/index.js';
import type { HiddenStates } from '../../../lib/model/hidden-states.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyModel } from '../../fixtures/tiny-model.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);

t.before(async () => {
	await simulateCohort(at('cohort'), { patients: 12, seed: 1 });
	await prepareStore(at('cohort'), at('structured'));
	const tokenizer = writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() });
	await prepareStore(at('cohort'), at('text'), { tokens: { kind: 'text', tokenizer } });
});

/** Every time at which a patient has events, a moment before it, and a year later; in no order, one of them twice. */
async function indexDatesOf(store: TokenStore, patients: number): Promise<IndexDate[]> {
	const dates: IndexDate[] = [];
	for (let patient = 0; patient < patients; patient++) {
		const { subjectId, times } = await store.split('train').timeline(patient);
		const last = times.at(-1)! + 365n * 86_400_000_000n;
		for (const time of new Set([...times].flatMap((one) => [one - 1n, one])).add(last))
			dates.push({ subjectId, predictionTime: time });
	}
	dates.push({ ...dates[0]! });
	// A third of them, far apart in the order of time.
	return Array.from({ length: Math.floor(dates.length / 3) }, (_, i) => dates[(i * 7_919) % dates.length]!);
}

function largestDifference(one: ArrayLike<number>, other: ArrayLike<number>): number {
	let largest = one.length === other.length ? 0 : Infinity;
	for (let i = 0; i < one.length; i++) largest = Math.max(largest, Math.abs(one[i]! - other[i]!));
	return largest;
}

for (const [name, contextTokens, shared] of [
	['structured', 100_000, 'all'],
	['structured', 60, 'some'],
	['text', 400, 'some'],
] as const) {
	t.test(
		`${name}, windows of ${contextTokens}: index dates that share a pass have the states of passes of their own`,
		async (t) => {
			const store = await openTokenStore(at(name));
			t.teardown(() => store.close());
			await using model = new WorldModel({ shape: tinyModel, vocabSize: store.vocabulary.size, threads: 1, seed: 3 });
			const dates = await indexDatesOf(store, 2);
			const read = async (pooling: Pooling, encoder: EncoderChoice) => {
				const together = await embed(model, store, dates, { contextTokens, pooling, encoder });
				const values: number[] = [];
				let rows = 0;
				let [passes, tokens] = [0, 0];
				for (const date of dates) {
					const alone = await embed(model, store, [date], { contextTokens, pooling, encoder });
					values.push(...alone.values);
					rows += alone.rows;
					passes += alone.counts.passes;
					tokens += alone.counts.passTokens;
				}
				t.equal(together.rows, rows);
				t.ok(largestDifference(together.values, values) < 2e-5, `${pooling} of ${encoder}`);
				t.equal(together.counts.contextTokens, tokens, 'tokens without sharing are those of passes of their own');
				t.equal(passes, rows);
				return together.counts;
			};
			const counts = await read('mean', 'encoder');
			await read('last', 'target_encoder');
			if (shared === 'some' && name === 'structured') await read('recent', 'encoder');
			t.comment(
				`${counts.passes} passes of ${counts.passTokens} tokens in place of ${dates.length} of ${counts.contextTokens}`,
			);
			t.ok(counts.passTokens < counts.contextTokens);
			if (shared === 'all') t.equal(counts.passes, 2, 'a record within the window takes one pass');
			else t.ok(counts.passes > 2 && counts.passes < dates.length);
		},
	);
}

t.test('layers: the hidden states that are asked for, one after another', async (t) => {
	const store = await openTokenStore(at('structured'));
	t.teardown(() => store.close());
	const shape = { ...tinyModel, numHiddenLayers: 2 };
	await using model = new WorldModel({ shape, vocabSize: store.vocabulary.size, threads: 1, seed: 3 });
	const dates = await indexDatesOf(store, 1);
	const read = (layers?: HiddenStates) => embed(model, store, dates, { contextTokens: 60, pooling: 'mean', layers });
	const width = model.hiddenSize;
	const column = ({ values, columns, rows }: FeatureTable, from: number) =>
		Array.from({ length: rows }, (_, row) => [...values.subarray(row * columns + from, row * columns + from + width)]);
	const all = await read('all');
	t.equal(all.columns, 3 * width);
	for (const number of [0, 1, 2]) {
		const one = await read([number]);
		t.equal(one.columns, width);
		t.same(column(all, number * width), column(one, 0), `state ${number}`);
	}
	t.same((await read()).values, (await read([2])).values, 'the last without a word');
	t.same((await read('last')).values, (await read([2])).values);
	const two = await read([0, 2]);
	t.same(column(two, width), column(all, 2 * width));
	t.not(String(column(all, width)), String(column(all, 2 * width)));
	for (const layers of [[], [3], [1, 1], [1, 0], [-1], [0.5], 'first', null] as never[]) {
		await t.rejects(read(layers), { code: 'EHR_JEPA_CONFIG', message: /layers must be "last", "all" or ascending/ });
	}
});

t.test('what became known later that day is in no earlier state', async (t) => {
	const store = await openTokenStore(at('structured'));
	t.teardown(() => store.close());
	await using model = new WorldModel({ shape: tinyModel, vocabSize: store.vocabulary.size, threads: 1 });
	const { subjectId, times } = await store.split('train').timeline(0);
	const early = { subjectId, predictionTime: times[Math.floor(times.length / 2)]! };
	const options = { contextTokens: 100_000, pooling: 'mean' } as const;
	const alone = await embed(model, store, [early], options);
	const both = await embed(model, store, [{ subjectId, predictionTime: times.at(-1)! }, early], options);
	t.equal(both.counts.passes, 1);
	t.ok(largestDifference(both.values.slice(model.hiddenSize), alone.values) < 2e-5);
	t.ok(largestDifference(both.values.slice(0, model.hiddenSize), alone.values) > 1e-3, 'the later state is another');
});

function tableOf(values: readonly number[]): FeatureTable {
	const samples = values.map((_, i) => ({ subjectId: 2n ** 62n + BigInt(i), predictionTime: -1_000_001n * BigInt(i) }));
	return { values: Float32Array.from(values), rows: values.length, columns: 1, samples };
}

t.test(
	'states as float16: the nearest numbers, half the room, the same samples; too large ones are refused',
	async (t) => {
		const file = at('half.parquet');
		// Halfway between two float16 the even one; the smallest, what becomes 0, the largest.
		const given = [0.1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, -(2 ** -24), 2 ** -26, 65_519, -65_504];
		const nearest = [0.0999755859375, 1, 1 + 2 ** -9, -(2 ** -24), 0, 65_504, -65_504];
		await writeEmbeddings(file, tableOf(given), { pooling: 'mean' }, 'float16');
		const table = await readEmbeddings(file);
		t.same([...table.values], nearest);
		t.same(table.samples, tableOf(given).samples);
		const many = tableOf(Array.from({ length: 20_000 }, (_, i) => Math.sin(i)));
		const wide = { ...many, columns: 100, rows: 200, samples: many.samples.slice(0, 200) };
		await writeEmbeddings(at('wide16.parquet'), wide, {}, 'float16');
		await writeEmbeddings(at('wide32.parquet'), wide, {});
		const error = largestDifference((await readEmbeddings(at('wide16.parquet'))).values, wide.values);
		t.ok(error > 0 && error <= 2 ** -12, 'half of the last digit below 1');
		t.same((await readEmbeddings(at('wide32.parquet'))).values, wide.values);
		await withDatabase({ threads: 1 }, async (database) => {
			const typed = async (name: string) =>
				database.rows(
					`SELECT type, logical_type, type_length FROM parquet_schema('${at(name)}') WHERE name = 'element'`,
				);
			t.match((await typed('wide16.parquet'))[0], { type: 'FIXED_LEN_BYTE_ARRAY', logical_type: /Float16/i });
			t.match((await typed('wide32.parquet'))[0], { type: 'FLOAT' });
			const [pair] = await database.rows(
				`SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${file}')`,
			);
			t.same(pair, { key: 'pooling', value: 'mean' });
		});
		for (const value of [65_520, -1e9, Infinity, Number.NaN]) {
			const refused = at('refused.parquet');
			await t.rejects(writeEmbeddings(refused, tableOf([1, value]), {}, 'float16'), {
				code: 'EHR_JEPA_DATA',
				message: /embedding must fit float16 \(65504 at most\) .* in row 1, subject 4611686018427387905/,
			});
			await t.rejects(readEmbeddings(refused), 'nothing is left');
		}
	},
);

t.test(
	'states of any width are written whole: more rows than a chunk has, more numbers, and one list longer than a chunk',
	async (t) => {
		const file = at('any-width.parquet');
		const samples = Array.from({ length: 5000 }, (_, i) => ({ subjectId: BigInt(i), predictionTime: -BigInt(i) }));
		for (const [rows, columns] of [
			[5000, 1],
			[2048, 3],
			[2049, 700],
			[3, 1_200_000],
		] as const) {
			const values = Float32Array.from({ length: rows * columns }, (_, i) => i % 9_973);
			await writeEmbeddings(file, { values, rows, columns, samples: samples.slice(0, rows) }, {});
			const read = await readEmbeddings(file);
			t.equal(read.columns, columns);
			t.same(read.samples, samples.slice(0, rows), `${rows} rows of ${columns}`);
			t.equal(largestDifference(read.values, values), 0);
		}
		const values = Float32Array.of(1, 2, Number.NaN);
		await t.rejects(
			writeEmbeddings(at('nan.parquet'), { values, rows: 3, columns: 1, samples: samples.slice(0, 3) }, {}),
			{
				code: 'EHR_JEPA_DATA',
				message: /embedding must hold finite numbers that fit float32 but found NaN at place 0 in row 2, subject 2/,
			},
		);
	},
);
