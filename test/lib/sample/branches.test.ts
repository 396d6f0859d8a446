import t from 'tap';
import { latentBranches, predictionCount } from '../../../lib/sample/branches.js';
import { pack } from '../../../lib/sample/packing.js';
import { trainingWindow } from '../../../lib/sample/window.js';
import fc from '../../fixtures/property.js';
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
const share = fc.double({ min: 0.05, max: 1, noNaN: true });
const options = fc.record({
	branch: fc.oneof(
		fc.record({ kind: fc.constant('masked' as const), ratio: share, span: fc.integer({ min: 1, max: 6 }) }),
		fc.constant({ kind: 'query' as const, at: 'day-ends' as const }),
		fc.record({ kind: fc.constant('query' as const), at: fc.constant('positions' as const), share }),
		fc.constant({ kind: 'state' as const }),
		fc.record({ kind: fc.constant('views' as const), predictorTokens: fc.integer({ min: 0, max: 4 }) }),
	),
	cuts: fc.integer({ min: 1, max: 4 }),
	maskTokenId: fc.constant(maskTokenId),
	seed: fc.integer({ min: 0, max: 1000 }),
});

t.test('days of a window’s future start with its cut, ascend and end with it', async (t) => {
	fc.assert(
		fc.property(windows, (list) =>
			list.every(({ tokens, contextLength, futureDays, futureDates, contextDate }) => {
				const ascending = futureDays.every((start, i) => i === 0 || start > futureDays[i - 1]!);
				const dates = [contextDate, ...futureDates];
				const inOrder = dates.every((date, i) => i === 0 || date > dates[i - 1]!);
				return (
					ascending &&
					inOrder &&
					futureDates.length === futureDays.length - 1 &&
					futureDays[0] === contextLength &&
					futureDays.at(-1) === tokens.length
				);
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
			const { sequences, cuts, cuRows, tokens, positionIds, targets, days, kind } = branches;
			const { branch: about } = chosen;
			if (kind !== { masked: 'causal', query: 'isolated', state: 'state', views: 'views' }[about.kind]) return false;
			if (cuRows[0] !== 0 || cuRows.at(-1) !== targets.length || days.length !== targets.length) return false;
			if (tokens.length !== (kind === 'state' ? 0 : targets.length) || positionIds.length !== tokens.length)
				return false;
			for (const [branch, sequence] of sequences.entries()) {
				const window = list[sequence]!;
				const begin = packed.cuSeqlens[sequence]!;
				const cut = cuts[branch]!;
				const boundary = cut === window.contextLength || window.futureDays.subarray(1, -1).includes(cut);
				if (!boundary || cut < 1 || cut >= window.tokens.length) return false;
				const length = window.tokens.length - cut;
				const rows = Array.from({ length: cuRows[branch + 1]! - cuRows[branch]! }, (_, i) => cuRows[branch]! + i);
				if (rows.length === 0) return false;
				if (about.kind === 'views') {
					const own = branches.predictorTokens;
					const expected = [
						...Array.from({ length: own }, (_, i) => [maskTokenId, cut + i]),
						...Array.from({ length }, (_, i) => [window.tokens[cut + i], i]),
					];
					if (own !== about.predictorTokens || rows.some((row) => targets[row] !== -1)) return false;
					if (rows.map((row) => [tokens[row], positionIds[row]]).join() !== expected.join()) return false;
					continue;
				}
				const predicted = rows.filter((row) => targets[row]! >= 0);
				if (predicted.length === 0) return false;
				// The date before a cut is that of the last day of its context.
				const dateOf = (place: number) =>
					window.futureDates[window.futureDays.findLastIndex((start) => start <= place)]!;
				const now = cut === window.contextLength ? window.contextDate : dateOf(cut - 1);
				for (const row of rows) {
					const hidden = targets[row]! >= 0;
					const place = kind === 'state' ? targets[row]! - begin : positionIds[row]!;
					if (place < cut || place >= window.tokens.length) return false;
					if (days[row] !== dateOf(place) - now || days[row]! < 1) return false;
					if (kind !== 'state' && tokens[row] !== (hidden ? maskTokenId : window.tokens[place])) return false;
					if (hidden && targets[row] !== begin + place) return false;
				}
				if (about.kind === 'state' || (about.kind === 'query' && about.at === 'day-ends')) {
					const ends = [...window.futureDays].filter((end) => end > cut).map((end) => begin + end - 1);
					if (rows.map((row) => targets[row]).join() !== ends.join()) return false;
				} else if (about.kind === 'query') {
					if (rows.length !== predicted.length) return false;
					if (rows.length !== Math.max(1, Math.round(about.share * length))) return false;
					if (rows.some((row, i) => i > 0 && targets[row]! <= targets[rows[i - 1]!]!)) return false;
				} else {
					if (rows.length !== length) return false;
					if (predicted.length !== Math.max(1, Math.round(about.ratio * length))) return false;
				}
			}
			const perWindow = list.map((_, i) => [...sequences].filter((sequence) => sequence === i).length);
			const possible = list.map(({ futureDays }) => Math.min(chosen.cuts, futureDays.length - 1));
			return (
				perWindow.join() === possible.join() &&
				predictionCount(branches) ===
					(kind === 'views' ? sequences.length : [...targets].filter((target) => target >= 0).length)
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
		futureDates: Int32Array.of(101, 131, 400),
		contextDate: 100,
	};
	const packed = pack([window.tokens]);
	const masked = { kind: 'masked' as const, ratio: 0.4, span: 1 };
	const base = { branch: masked, cuts: 2, maskTokenId, seed: 1 };
	const make = (change: object, step = 1) => latentBranches([window], packed, step, { ...base, ...change });
	t.same(make({}), make({}));
	t.not(make({}).targets.join(), make({}, 2).targets.join());
	t.not(make({}).targets.join(), make({ seed: 2 }).targets.join());
	const runs = (targets: Int32Array) =>
		targets.filter((target, i) => target >= 0 && (i === 0 || targets[i - 1]! < 0)).length;
	const [single, spans] = [make({ cuts: 1 }), make({ cuts: 1, branch: { ...masked, span: 10 } })];
	t.equal(predictionCount(single), predictionCount(spans));
	t.ok(
		runs(spans.targets) <= 6 && runs(single.targets) > 20,
		`${runs(spans.targets)} and ${runs(single.targets)} runs`,
	);
	const state = make({ branch: { kind: 'state' }, cuts: 1 });
	t.same([...state.days], [1, 31, 300]);
	t.same([...state.targets], [89, 119, 199]);
	const positions = { kind: 'query', at: 'positions' };
	t.equal(make({ branch: positions, cuts: 1 }).targets.length, 8, '5 % of 150');
	t.not(make({ branch: positions }).targets.join(), make({ branch: positions }, 2).targets.join());
});
