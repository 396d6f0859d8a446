import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Field, Int32, List, Table, tableFromIPC, tableToIPC, vectorFromArray } from 'apache-arrow';
import t from 'tap';
import type { ScoringModel } from '../../../lib/evaluate/score.js';
import { writeDaySurprise, writeTokenScores } from '../../../lib/evaluate/score-file.js';
import { readTokenSequences } from '../../../lib/evaluate/token-sequences.js';
import { scoreSequences, surpriseByDay } from '../../../lib/index.js';
import type { PackedBatch, Timeline } from '../../../lib/types.js';
import fc from '../../fixtures/property.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { firstToken, timelines, timelineVocabulary } from '../../fixtures/timelines.js';

const folder = temporaryFolder(t);

/** A model whose surprise at a token is the token's number: every figure says which token it belongs to. */
const numbering = (windows: number[][] = []): ScoringModel => ({
	hiddenSize: 2,
	score: async ({ tokens, cuSeqlens }: PackedBatch, options = {}) => {
		const firsts = new Set(cuSeqlens);
		const logProbabilities = Float32Array.from(
			[...tokens].filter((_, i) => !firsts.has(i)),
			(token) => -token,
		);
		for (let i = 0; i + 1 < cuSeqlens.length; i++) windows.push([...tokens.subarray(cuSeqlens[i], cuSeqlens[i + 1])]);
		const hidden = options.withHidden
			? Float32Array.from({ length: 2 * tokens.length }, (_, i) => tokens[i >> 1]!)
			: new Float32Array(0);
		return { logProbabilities, hidden };
	},
});
const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
	const result: T[] = [];
	for await (const item of items) result.push(item);
	return result;
};

t.test('scores come back by sequence, in order, however they were packed', async (t) => {
	await fc.assert(
		fc.asyncProperty(
			fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 12 }),
			fc.integer({ min: 1, max: 20 }),
			async (lengths, tokensPerBatch) => {
				let next = 0;
				const sequences = lengths.map((length) => Int32Array.from({ length }, () => next++));
				const scored = await collect(scoreSequences(numbering(), sequences, { tokensPerBatch, withHidden: true }));
				return (
					scored.length === sequences.length &&
					scored.every(
						({ tokens, logProbabilities, hidden }, i) =>
							tokens === sequences[i] &&
							logProbabilities.length === tokens.length - 1 &&
							logProbabilities.every((value, k) => value === -tokens[k + 1]!) &&
							hidden.every((value, k) => value === tokens[k >> 1]),
					)
				);
			},
		),
	);
	t.pass();
});

t.test('every token of a record is scored once, on its own day, and none sees a later one', async (t) => {
	await fc.assert(
		fc.asyncProperty(timelines, fc.integer({ min: 6, max: 60 }), async (timeline: Timeline, windowTokens) => {
			const windows: number[][] = [];
			const split = { name: 'held_out' as const, size: 1, timeline: async () => timeline };
			const [days] = await collect(surpriseByDay(numbering(windows), split, timelineVocabulary, windowTokens));
			const hasHead = timeline.staticTokens.length > 0 || timeline.birthDay !== null;
			for (const [i, day] of timeline.days.entries()) {
				const tokens = [...timeline.tokens.subarray(timeline.dayOffsets[i], timeline.dayOffsets[i + 1])];
				// Nothing predicts the first token of a record that begins with it.
				const expected = i === 0 && !hasHead ? tokens.slice(1) : tokens;
				const found = days!.find((row) => row.day === day);
				if (expected.length === 0) {
					if (found !== undefined) return false;
					continue;
				}
				const mean = expected.reduce((sum, token) => sum + token, 0) / expected.length;
				if (found?.tokens !== expected.length || Math.abs(found.surprise - mean) > 1e-3) return false;
			}
			const ascending = windows.every((window) => {
				const own = window.filter((token) => token >= firstToken);
				return window.length <= windowTokens && own.every((token, i) => i === 0 || token === own[i - 1]! + 1);
			});
			const order = [...days!].sort((a, b) => a.rank - b.rank).map(({ surprise }) => surprise);
			return ascending && order.every((value, i) => i === 0 || value <= order[i - 1]!);
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

t.test('sequences are read from JSON lines and Arrow alike; what is wrong is named', async (t) => {
	const lines = join(folder, 'ids.jsonl');
	const read = async (file: string, size = 100) =>
		(await collect(readTokenSequences(file, size))).map((ids) => [...ids]);
	writeFileSync(lines, '[1, 2]\r\n\n{"tokens": [3]}\n');
	t.same(await read(lines), [[1, 2], [3]]);
	const arrow = join(folder, 'ids.arrow');
	const lists = vectorFromArray([[1, 2], [3]], new List(new Field('item', new Int32(), false)));
	for (const kind of ['file', 'stream'] as const) {
		writeFileSync(arrow, tableToIPC(new Table({ tokens: lists }), kind));
		t.same(await read(arrow), [[1, 2], [3]], kind);
	}
	const refused = async (text: string, message: RegExp) => {
		writeFileSync(lines, text);
		await t.rejects(read(lines), { code: 'EHR_JEPA_DATA', message });
	};
	await refused('[1]\n[2,', /line 2 must be JSON/);
	await refused('[]', /line 1 must hold at least one token id/);
	await refused('[1, 100]', /line 1 must hold token ids in \[0, 100\) but found 100/);
	await refused('[1.5]', /but found 1.5/);
	await refused('["1"]', /but found a text in place of one/);
	await refused('{"ids": [1]}', /must be a list of token ids, or an object with one in "tokens"/);
	await t.rejects(read(join(folder, 'none')), { code: 'EHR_JEPA_DATA', message: /must be readable/ });
	writeFileSync(arrow, tableToIPC(new Table({ ids: lists }), 'file'));
	await t.rejects(read(arrow), { message: /must have a column tokens but found ids/ });
	writeFileSync(arrow, tableToIPC(new Table({ tokens: vectorFromArray([1, 2], new Int32()) }), 'file'));
	await t.rejects(read(arrow), { message: /column tokens must be a list of integers but found Int32/ });
});

t.test('files of scores hold a null, never NaN, and a failure leaves none', async (t) => {
	const sequences = [Int32Array.of(1, 2, 3), Int32Array.of(4)];
	const out = join(folder, 'scores.arrow');
	const summary = await writeTokenScores(out, scoreSequences(numbering(), sequences, { withHidden: true }), 2);
	t.same(summary, { sequences: 2, tokens: 4, meanLogProbability: -2.5 });
	const table = tableFromIPC(readFileSync(out));
	t.same([...table.getChild('log_probability')!], [null, -2, -3, null]);
	t.same([...table.getChild('sequence')!], [0, 0, 0, 1]);
	t.same([...table.getChild('hidden')!.get(2)], [3, 3]);
	t.equal(
		(await writeTokenScores(join(folder, 'one.arrow'), scoreSequences(numbering(), [Int32Array.of(4)])))
			.meanLogProbability,
		null,
	);
	const failing = async function* () {
		yield (await collect(scoreSequences(numbering(), sequences)))[0]!;
		throw new Error('in the middle');
	};
	await t.rejects(writeTokenScores(join(folder, 'failed.arrow'), failing()), { message: 'in the middle' });
	t.throws(() => readFileSync(join(folder, 'failed.arrow')));
	await t.rejects(writeTokenScores(join(folder, 'no', 'folder.arrow'), scoreSequences(numbering(), sequences)), {
		code: 'EHR_JEPA_OUTPUT',
	});
	const days = async function* () {
		yield [{ subjectId: 7n, day: 18_000, tokens: 3, surprise: 1.5, rank: 1 }];
		yield [];
	};
	t.same(await writeDaySurprise(join(folder, 'days.arrow'), days()), { patients: 1, days: 1 });
	t.equal(
		tableFromIPC(readFileSync(join(folder, 'days.arrow')))
			.getChild('subject_id')!
			.get(0),
		7n,
	);
});
