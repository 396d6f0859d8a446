import fc from 'fast-check';
import t from 'tap';
import { latentBranches, predictionCount } from '../../../lib/store/branches.js';
import { pack } from '../../../lib/store/packing.js';
import { trainingWindow } from '../../../lib/store/window.js';
import { firstToken, timelines, timelineVocabulary } from '../../fixtures/timelines.js';

const maskTokenId = 99_999;

/** Windows of one to four records with at least two days. */
const windows = fc.array(
	timelines
		.filter(({ days }) => days.length >= 2)
		.chain((timeline) =>
			fc
				.tuple(
					fc.integer({ min: 1, max: timeline.days.length - 1 }),
					fc.integer({ min: 6, max: 60 }),
					fc.integer({ min: 1, max: 40 }),
				)
				.map(([cutDay, context, future]) => trainingWindow(timeline, timelineVocabulary, cutDay, context, future)),
		),
	{ minLength: 1, maxLength: 4 },
);
const options = fc.record({
	kind: fc.constantFrom('masked' as const, 'query' as const),
	ratio: fc.double({ min: 0.05, max: 1, noNaN: true }),
	span: fc.integer({ min: 1, max: 6 }),
	cuts: fc.integer({ min: 1, max: 4 }),
	maskTokenId: fc.constant(maskTokenId),
	seed: fc.integer({ min: 0, max: 1000 }),
});

t.test('days of a window’s future start with its cut, ascend and end with it', async (t) => {
	fc.assert(
		fc.property(windows, (list) =>
			list.every(({ tokens, contextLength, futureDays }) => {
				const ascending = futureDays.every((start, i) => i === 0 || start > futureDays[i - 1]!);
				return ascending && futureDays[0] === contextLength && futureDays.at(-1) === tokens.length;
			}),
		),
	);
	t.pass();
});

t.test('a branch predicts only what lies behind its cut, once, at the places of its trunk', async (t) => {
	fc.assert(
		fc.property(windows, options, fc.integer({ min: 1, max: 50 }), (list, chosen, step) => {
			const packed = pack(list.map(({ tokens }) => tokens));
			const branches = latentBranches(list, packed, step, chosen);
			const { sequences, cuts, cuRows, tokens, positionIds, targets, isolated } = branches;
			if (isolated !== (chosen.kind === 'query') || cuRows[0] !== 0 || cuRows.at(-1) !== tokens.length) return false;
			for (const [branch, sequence] of sequences.entries()) {
				const window = list[sequence]!;
				const begin = packed.cuSeqlens[sequence]!;
				const cut = cuts[branch]!;
				const boundary = cut === window.contextLength || window.futureDays.subarray(1, -1).includes(cut);
				if (!boundary || cut < 1 || cut >= window.tokens.length) return false;
				const rows = Array.from({ length: cuRows[branch + 1]! - cuRows[branch]! }, (_, i) => cuRows[branch]! + i);
				if (rows.length === 0) return false;
				const predicted = rows.filter((row) => targets[row]! >= 0);
				if (predicted.length === 0) return false;
				for (const row of rows) {
					const place = positionIds[row]!;
					const hidden = targets[row]! >= 0;
					if (place < cut || place >= window.tokens.length) return false;
					if (tokens[row] !== (hidden ? maskTokenId : window.tokens[place])) return false;
					if (hidden && targets[row] !== begin + place) return false;
				}
				if (chosen.kind === 'query') {
					const ends = [...window.futureDays].filter((end) => end > cut).map((end) => end - 1);
					if (rows.map((row) => positionIds[row]).join() !== ends.join()) return false;
				} else {
					const length = window.tokens.length - cut;
					if (rows.length !== length) return false;
					if (predicted.length !== Math.max(1, Math.round(chosen.ratio * length))) return false;
				}
			}
			const perWindow = list.map((_, i) => [...sequences].filter((sequence) => sequence === i).length);
			const possible = list.map(({ futureDays }) => Math.min(chosen.cuts, futureDays.length - 1));
			return (
				perWindow.join() === possible.join() &&
				predictionCount(branches) === [...targets].filter((target) => target >= 0).length
			);
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

t.test('draws follow from seed and step, and runs of masks are runs', async (t) => {
	const window = {
		tokens: Int32Array.from({ length: 200 }, (_, i) => firstToken + i),
		contextLength: 50,
		futureDays: Int32Array.of(50, 90, 120, 200),
	};
	const packed = pack([window.tokens]);
	const base = { kind: 'masked' as const, ratio: 0.4, span: 1, cuts: 2, maskTokenId, seed: 1 };
	const make = (change: object, step = 1) => latentBranches([window], packed, step, { ...base, ...change });
	t.same(make({}), make({}));
	t.not(make({}).targets.join(), make({}, 2).targets.join());
	t.not(make({}).targets.join(), make({ seed: 2 }).targets.join());
	const runs = (targets: Int32Array) =>
		targets.filter((target, i) => target >= 0 && (i === 0 || targets[i - 1]! < 0)).length;
	const [single, spans] = [make({ cuts: 1 }), make({ cuts: 1, span: 10 })];
	t.equal(predictionCount(single), predictionCount(spans));
	t.ok(
		runs(spans.targets) <= 6 && runs(single.targets) > 20,
		`${runs(spans.targets)} and ${runs(single.targets)} runs`,
	);
});
