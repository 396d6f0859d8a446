/** The same run under each way to start its processes: their variables alone tell a process its place. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { TrainConfigInput } from '../../lib/index.js';
import { simulatedStore } from '../fixtures/simulated-store.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { freePort, lossesOf, newestTensors, runAll, startRanks, tinyRun } from './launched.js';

const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));
const folder = temporaryFolder(t);
const config = join(folder, 'train.json');
const settings: TrainConfigInput = {
	...tinyRun,
	steps: 4,
	tuningBatches: 2,
	parallel: { virtualShards: 2 },
};
const train = (run: string) => ['train', join(folder, 'store'), join(folder, run), '--config', config];

/** Python with torch, whose torchrun it is. */
const python = process.env.EHR_JEPA_PYTHON ?? 'python3';
const hasTorchrun = spawnSync(python, ['-c', 'import torch.distributed.run']).status === 0;

t.before(async () => {
	await (await simulatedStore(folder)).close();
	writeFileSync(config, JSON.stringify(settings));
	const alone = await runAll(train('alone'));
	if (alone.code !== 0) throw new Error(alone.stderr);
});

function sameAsAlone(t: Tap, run: string): void {
	t.same(lossesOf(join(folder, run)), lossesOf(join(folder, 'alone')));
	t.same(newestTensors(join(folder, run)), newestTensors(join(folder, 'alone')));
}
type Tap = Pick<typeof t, 'same'>;

t.test('processes that srun starts', async (t) => {
	const environments = [0, 1].map((rank) => ({
		SLURM_PROCID: String(rank),
		SLURM_LOCALID: String(rank),
		SLURM_NTASKS: '2',
		// From which the port follows.
		SLURM_JOB_ID: String(process.pid),
		SLURM_STEP_NODELIST: '127.0.0.1',
	}));
	const ended = await Promise.all(startRanks(environments, train('srun')).map(({ ended }) => ended));
	for (const { code, stderr } of ended) t.equal(code, 0, stderr);
	t.equal(ended[1]!.stdout + ended[1]!.stderr, '', 'ranks beside the first are silent');
	t.match(ended[0]!.stdout, /4 steps/);
	sameAsAlone(t, 'srun');
});

t.test('torchrun', { skip: hasTorchrun ? false : `${python} has no torch.distributed.run` }, async (t) => {
	const args = ['-m', 'torch.distributed.run', '--standalone', '--no-python', '--nproc-per-node', '2'];
	const { status, stderr } = spawnSync(python, [...args, process.execPath, bin, ...train('torchrun')], {
		encoding: 'utf8',
		env: { ...process.env, OMP_NUM_THREADS: '1' },
	});
	t.equal(status, 0, stderr);
	sameAsAlone(t, 'torchrun');
});

t.test('two launchers, each with a rank, at an address that is also the one of a single launcher', async (t) => {
	const port = String(await freePort());
	const meeting = ['--nodes', '2', '--master-addr', '127.0.0.1', '--master-port', port];
	const ended = await Promise.all(
		[0, 1].map((node) => runAll(['launch', '-n', '1', ...meeting, '--node-rank', String(node), ...train('nodes')])),
	);
	for (const { code, stderr } of ended) t.equal(code, 0, stderr);
	sameAsAlone(t, 'nodes');
});

t.test('launch refuses what it cannot run', async (t) => {
	const fails = async (message: RegExp, ...args: string[]) => {
		const { code, stderr } = await runAll(['launch', ...args]);
		t.equal(code, 2, stderr);
		t.match(stderr, message);
	};
	await fails(/the command must be one of train, embed, score, evaluate but is info/, '-n', '2', 'info');
	await fails(/the command must be one of train, embed, score, evaluate but is missing/, '-n', '2');
	await fails(/--processes must be a whole number from 1 to 1024 but is 0/, '-n', '0', ...train('x'));
	await fails(/--master-addr and --master-port must be given/, '-n', '2', '--nodes', '2', ...train('x'));
	await fails(/Unknown argument.*stpes|stpes/, '-n', '1', ...train('x'), '--stpes', '3');
});
