import t from 'tap';
import type { CollapseMonitors } from '../../../lib/objective/collapse-monitors.js';
import { CollapseWatch } from '../../../lib/train/collapse-warning.js';

const healthy: CollapseMonitors = {
	predictionStd: 0.7,
	targetStd: 0.9,
	predictionCosine: 0.2,
	targetCosine: 0.1,
	predictionEffectiveRank: 6,
	targetEffectiveRank: 13,
	batchMeanLoss: 0.9,
	copyContextLoss: 1.9,
	targetEncoderDistance: 0.1,
};
const run = (readings: readonly Partial<CollapseMonitors>[]) => {
	const warnings: string[] = [];
	const watch = new CollapseWatch((message) => warnings.push(message));
	for (const [i, change] of readings.entries()) watch.read(10 * i, { ...healthy, ...change });
	return warnings;
};
const start = [{}, {}, {}];

t.test('a healthy run, a single odd reading and the first readings say nothing', async (t) => {
	t.same(run([...start, {}, {}, {}]), []);
	t.same(run([...start, { targetCosine: 0.99 }, {}, { targetCosine: 0.99 }]), []);
	t.same(run([{ targetCosine: 1 }, { targetCosine: 1 }, { targetCosine: 1 }, {}, {}]), []);
});

t.test('each sign of collapse is told once, in words', async (t) => {
	const alike = { targetCosine: 0.99 };
	t.match(run([...start, alike, alike, alike]), [
		/^\[collapse\] step 40: targets of different positions have a mean cosine of 0.990.*Training goes on/,
	]);
	const still = { predictionStd: 0.01 };
	t.match(run([...start, still, still]), [/predictions vary by 0.0100, targets by 0.900: the predictor says the same/]);
	const flat = { targetEffectiveRank: 2.1 };
	t.match(run([...start, flat, flat]), [/effective rank of the targets is 2.10, at the start it was 13.0/]);
	t.equal(run([...start, { ...alike, ...still, ...flat }, { ...alike, ...still, ...flat }]).length, 3);
});

t.test('a run that is stopped after every reading warns as one that is not', async (t) => {
	const alike = { targetCosine: 0.99 };
	const readings = [...start, { targetEffectiveRank: 2.1 }, alike, alike, alike, { targetEffectiveRank: 2.1 }, {}];
	const warnings: string[] = [];
	for (const [i, change] of readings.entries()) {
		const watch = new CollapseWatch((message) => warnings.push(message));
		for (const before of readings.slice(0, i)) watch.recall({ ...healthy, ...before });
		watch.read(10 * i, { ...healthy, ...change });
	}
	t.same(warnings, run(readings));
	t.equal(warnings.length, 1);
});
