import t from 'tap';
import { jitter, ParticleCloud } from '../../../lib/cohort/particle-cloud.js';
import { RandomStream } from '../../../lib/random.js';

const steps = 600;
const dt = 1 / 365.25;
const [pull, rateNoise, levelNoise, readNoise] = [1.5, 0.42, 0.22, 0.33];
/** Of level, rate and drift at the start: independent. */
const prior = { mean: [0.15, 0.1, 0.1], variance: [0.4, 0.1, 0.06] } as const;

/** A level moved by a rate that is pulled to a drift which never changes, seen with noise now and then. */
function simulated(random: RandomStream) {
	let [level, rate, drift] = prior.mean.map((mean, i) => mean + Math.sqrt(prior.variance[i]!) * random.normal()) as [
		number,
		number,
		number,
	];
	const readings = new Map<number, number>();
	for (let step = 0; step < steps; step++) {
		rate += -pull * (rate - drift) * dt + rateNoise * Math.sqrt(dt) * random.normal();
		level += rate * dt + levelNoise * Math.sqrt(dt) * random.normal();
		if (step % 45 === 20) readings.set(step, level + readNoise * random.normal());
	}
	return readings;
}

type Matrix = number[][];
const times = (a: Matrix, b: Matrix): Matrix =>
	a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));
const transposed = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));

/** Exact mean and variance of the level after each reading (Kalman filter). */
function kalman(readings: ReadonlyMap<number, number>): { mean: number; variance: number }[] {
	const rate = [0, 1 - pull * dt, pull * dt];
	const move = [[1, rate[1]! * dt, rate[2]! * dt], rate, [0, 0, 1]];
	const [rateVariance, levelVariance] = [rateNoise ** 2 * dt, levelNoise ** 2 * dt];
	const noise = [
		[levelVariance + rateVariance * dt * dt, rateVariance * dt, 0],
		[rateVariance * dt, rateVariance, 0],
		[0, 0, 0],
	];
	let mean: Matrix = prior.mean.map((value) => [value]);
	let covariance: Matrix = prior.variance.map((value, i) => prior.variance.map((_, j) => (i === j ? value : 0)));
	const found: { mean: number; variance: number }[] = [];
	for (let step = 0; step < steps; step++) {
		mean = times(move, mean);
		covariance = times(times(move, covariance), transposed(move)).map((row, i) =>
			row.map((value, j) => value + noise[i]![j]!),
		);
		const reading = readings.get(step);
		if (reading === undefined) continue;
		const gain = covariance.map((row) => row[0]! / (covariance[0]![0]! + readNoise ** 2));
		const error = reading - mean[0]![0]!;
		mean = mean.map(([value], i) => [value! + gain[i]! * error]);
		const first = covariance[0]!;
		covariance = covariance.map((row, i) => row.map((value, j) => value - gain[i]! * first[j]!));
		found.push({ mean: mean[0]![0]!, variance: covariance[0]![0]! });
	}
	return found;
}

function particleFilter(readings: ReadonlyMap<number, number>, size: number, random: RandomStream) {
	const cloud = new ParticleCloud(size, 1);
	const start = (i: number) =>
		Float64Array.from({ length: size }, () => prior.mean[i]! + Math.sqrt(prior.variance[i]!) * random.normal());
	let [level, rate, drift] = [start(0), start(1), start(2)];
	const noise = new Float64Array(2 * size);
	const found: { mean: number; variance: number }[] = [];
	for (let step = 0; step < steps; step++) {
		random.normals(noise);
		for (let i = 0; i < size; i++) {
			rate[i]! += -pull * (rate[i]! - drift[i]!) * dt + rateNoise * Math.sqrt(dt) * noise[2 * i]!;
			level[i]! += rate[i]! * dt + levelNoise * Math.sqrt(dt) * noise[2 * i + 1]!;
		}
		const reading = readings.get(step);
		if (reading === undefined) continue;
		for (let i = 0; i < size; i++) cloud.weigh(0, i, -0.5 * ((reading - level[i]!) / readNoise) ** 2);
		const mean = cloud.mean(0, (i) => level[i]!);
		found.push({ mean, variance: cloud.mean(0, (i) => (level[i]! - mean) ** 2) });
		if (cloud.effectiveSize(0) > 0.5 * size) continue;
		const sources = cloud.resample(0, random);
		[level, rate, drift] = [level, rate, drift].map((values) => Float64Array.from(sources, (i) => values[i]!)) as [
			Float64Array<ArrayBuffer>,
			Float64Array<ArrayBuffer>,
			Float64Array<ArrayBuffer>,
		];
		jitter(drift, 0.01, random);
	}
	return found;
}

t.test('on a linear system with normal noise the filter finds what a Kalman filter finds', async (t) => {
	for (const patient of [0, 1, 2]) {
		const readings = simulated(new RandomStream(5, 'cohort', patient));
		const exact = kalman(readings);
		const found = particleFilter(readings, 4000, new RandomStream(9, 'particles', patient));
		t.equal(found.length, exact.length);
		const errors = found.map(({ mean }, i) => Math.abs(mean - exact[i]!.mean) / Math.sqrt(exact[i]!.variance));
		t.ok(Math.max(...errors) < 0.15, `means within ${Math.max(...errors)} standard deviations`);
		const ratios = found.map(({ variance }, i) => variance / exact[i]!.variance);
		t.ok(
			Math.min(...ratios) > 0.85 && Math.max(...ratios) < 1.15,
			`variances: ${Math.min(...ratios)} to ${Math.max(...ratios)}`,
		);
	}
});

t.test('blocks are weighed and drawn apart', async (t) => {
	const cloud = new ParticleCloud(4, 2);
	cloud.weigh(0, 1, Math.log(3));
	cloud.weighAll(2, Number.NEGATIVE_INFINITY);
	t.same(
		[...cloud.weights(0)].map((weight) => Math.round(100 * weight)),
		[20, 60, 0, 20],
	);
	t.same(
		[...cloud.weights(1)].map((weight) => Math.round(100 * weight)),
		[33, 33, 0, 33],
	);
	t.ok(Math.abs(cloud.effectiveSize(1) - 3) < 1e-9);
	t.ok(Math.abs(cloud.mean(0, (i) => i) - (0.6 + 0.2 * 3)) < 1e-9);
	const sources = [...cloud.resample(0, new RandomStream(1, 'particles'))];
	t.ok(sources.filter((source) => source === 1).length >= 2, `${sources}`);
	t.notOk(sources.includes(2), 'what is impossible is not drawn');
	t.same(
		[...cloud.weights(0)].map((weight) => weight),
		[0.25, 0.25, 0.25, 0.25],
	);
	t.ok(cloud.weights(1)[2] === 0, 'the other block keeps its weights');
});
