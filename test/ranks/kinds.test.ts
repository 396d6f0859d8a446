/** Ways of ranks to make an update that must come to the same: in the backward pass, by bfloat16, from a device that is not the host. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { exportHuggingFace, type TrainConfigInput } from '../../lib/index.js';
import { openModel } from '../../lib/train/open-model.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { tinyModel } from '../fixtures/tiny-model.js';
import { freePort, lossesOf, newestTensors, rankEnvironments, start, tinyRun, trainRuns } from './launched.js';

const folder = temporaryFolder(t);
const store = join(folder, 'store');
const kinds = ['ddp', 'zero1', 'zero2', 'zero3'] as const;
const base: TrainConfigInput = {
	...tinyRun,
	model: { ...tinyModel, numHiddenLayers: 2 },
	steps: 3,
	tuningEvery: 0,
	checkpointEvery: 0,
	// Without latent loss first: predictor and target are then left alone, or follow.
	objective: { schedule: { kind: 'curriculum', sftFraction: 0.5 } },
	optimizer: { clipBy: 'parameter', gradientClip: 0.1 },
};
const inBackward = { ...base.optimizer, updateInBackward: true };
const of = (parallel: TrainConfigInput['parallel']) => ({ virtualShards: 2, ...parallel });
const runs: readonly TrainConfigInput[] = [
	...kinds.map((kind) => ({ ...base, optimizer: inBackward, parallel: of({ kind }) })),
	...kinds.map((kind) => ({ ...base, parallel: of({ kind, collectives: 'bfloat16' as const }) })),
];

t.before(async () => {
	await (await simulatedStore(folder)).close();
	await trainRuns(store, join(folder, 'alone'), [{ ...base, parallel: of({}) }], 1);
});
const alone = join(folder, 'alone', 'run-0');
type Tap = Pick<typeof t, 'same' | 'ok'>;

function sameTensors(t: Tap, run: string, other: string, what: string): void {
	const [found, expected] = [newestTensors(run), newestTensors(other)];
	t.same(Object.keys(found), Object.keys(expected));
	for (const [part, bytes] of Object.entries(expected)) t.ok(found[part]!.equals(bytes), `${what}: ${part}`);
}

t.test('updates in the backward pass, and gradients that travel in bfloat16', async (t) => {
	await trainRuns(store, join(folder, 'two'), runs, 2);
	const run = (i: number) => join(folder, 'two', `run-${i}`);
	for (const [i, kind] of kinds.entries()) {
		t.same(lossesOf(run(i)), lossesOf(alone), `in the backward pass, ${kind}: losses and norms of one process`);
		sameTensors(t, run(i), alone, `in the backward pass, ${kind}`);
		t.same(lossesOf(run(kinds.length + i)), lossesOf(run(kinds.length)), `bfloat16, ${kind}: losses and norms of ddp`);
		sameTensors(t, run(kinds.length + i), run(kinds.length), `bfloat16, ${kind}`);
	}
	const losses = (path: string) =>
		lossesOf(path).flatMap((line) => ('loss' in (line as object) ? (line as { readonly loss: number }).loss : []));
	const [exact, rounded] = [losses(alone), losses(run(kinds.length))];
	t.equal(rounded[0], exact[0], 'the first loss is that before any update');
	t.not(rounded.at(-1), exact.at(-1), 'gradients were rounded');
	t.ok(
		Math.abs(rounded.at(-1)! / exact.at(-1)! - 1) < 0.01,
		`to losses near those of float32: ${rounded} and ${exact}`,
	);

	// Read from the checkpoint by one process: no rank ever holds what it does not train.
	for (const [name, path] of [
		['one', alone],
		['ranks', run(3)],
	] as const) {
		const { model } = await openModel(path, { device: 'cpu' });
		await exportHuggingFace(model, join(folder, `export-${name}`), { parts: ['predictor', 'target_encoder'] });
		await model.close();
	}
	const exported = (name: string) => readdirSync(join(folder, `export-${name}`)).sort();
	t.same(exported('ranks'), exported('one'));
	for (const file of exported('one')) {
		const bytes = (name: string) => readFileSync(join(folder, `export-${name}`, file));
		t.ok(bytes('ranks').equals(bytes('one')), `export of zero3: ${file}`);
	}
});

const addon = ['release', 'debug']
	.map((preset) => fileURLToPath(new URL(`../../../build/${preset}/ehr_jepa_pretend.node`, import.meta.url)))
	.find((file) => existsSync(file));
const skip = addon === undefined && 'build/*/ehr_jepa_pretend.node is not built: npm test builds it';

t.test(
	'on a device that is not the host ranks come to the bits of the CPU, and send tensors of the device',
	{ skip },
	async (t) => {
		const cards = join(folder, 'cards');
		const some = [...(['ddp', 'zero3'] as const).map((kind) => ({ ...base, parallel: of({ kind }) })), runs[1]!];
		const ofRanks = await trainRuns(store, cards, some, 2, { device: 'cuda', env: { EHR_JEPA_ADDON: addon! } });
		for (const [i] of some.entries()) {
			t.same(lossesOf(join(cards, `run-${i}`)), lossesOf(alone));
			sameTensors(t, join(cards, `run-${i}`), alone, `run ${i}`);
			for (const measured of ofRanks) {
				const { all, staged } = measured[i]!;
				t.ok(
					staged > 0.95 * all,
					`${staged} of ${all} bytes were those of a device; the rest are counts, losses and norms`,
				);
			}
		}
	},
);

t.test('ranks on other devices are refused before they begin, and the device is named', { skip }, async (t) => {
	const environments = rankEnvironments(2, await freePort());
	const run = join(folder, 'devices');
	const ended = await Promise.all(
		(['cpu', 'cuda'] as const).map(
			(device, rank) =>
				start(['train', store, run, '--steps', '3', '--device', device], {
					...environments[rank],
					EHR_JEPA_ADDON: addon!,
				}).ended,
		),
	);
	for (const { code } of ended) t.equal(code, 8);
	t.match(
		ended[0]!.stderr,
		/\[ranks\] device must be the same for all ranks but is "cuda" on rank 1 and "cpu" on rank 0/,
	);
	t.notOk(existsSync(run), 'nothing was begun');
});
