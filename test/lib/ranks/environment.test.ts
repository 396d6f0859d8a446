import t from 'tap';
import { meetingPlace, placeInEnvironment } from '../../../lib/ranks/environment.js';

const torchrun = {
	RANK: '3',
	WORLD_SIZE: '8',
	LOCAL_RANK: '1',
	LOCAL_WORLD_SIZE: '2',
	MASTER_ADDR: 'node0',
	MASTER_PORT: '29500',
	TORCHELASTIC_USE_AGENT_STORE: 'True',
	TORCHELASTIC_RESTART_COUNT: '2',
};

t.test('the variables of torchrun, of PyTorchJob and of a process on its own', async (t) => {
	t.equal(placeInEnvironment({}), undefined);
	t.equal(placeInEnvironment({ WORLD_SIZE: '', RANK: '' }), undefined, 'an empty variable is none');
	t.equal(placeInEnvironment({ WORLD_SIZE: '1', RANK: '0' }), undefined, 'one process is on its own');
	t.same(placeInEnvironment(torchrun), {
		rank: 3,
		worldSize: 8,
		localRank: 1,
		localSize: 2,
		address: 'node0',
		port: 29_500,
		launcherServes: true,
		attempt: 2,
	});
	const job = { RANK: '1', WORLD_SIZE: '2', MASTER_ADDR: 'job-master-0', MASTER_PORT: '23456' };
	t.match(placeInEnvironment(job), { rank: 1, localRank: 0, launcherServes: false, attempt: 0 });
});

t.test('a step of SLURM names its ranks and their meeting place itself', async (t) => {
	const step = { SLURM_PROCID: '5', SLURM_NTASKS: '8', SLURM_LOCALID: '1', SLURM_JOB_ID: '123456' };
	const place = placeInEnvironment({ ...step, SLURM_JOB_NODELIST: 'gpu[07-09,12],login1' });
	t.match(place, { rank: 5, worldSize: 8, localRank: 1, address: 'gpu07', port: 20_000 + (123_456 % 12_000) });
	t.match(placeInEnvironment({ ...step, SLURM_STEP_NODELIST: 'a1,b2' }), { address: 'a1' });
	t.match(placeInEnvironment({ ...step, MASTER_ADDR: 'head', MASTER_PORT: '3000' }), { address: 'head', port: 3000 });
	t.match(placeInEnvironment({ ...step, ...torchrun }), { rank: 3, address: 'node0' }, 'torchrun under srun');
	t.equal(placeInEnvironment({ SLURM_NTASKS: '8' }), undefined, 'a script of sbatch is no step');
	t.equal(placeInEnvironment({ ...step, SLURM_NTASKS: '1' }), undefined);
});

t.test('a variable that is missing, no number, or at odds with another is named', async (t) => {
	const { RANK: _r, ...noRank } = torchrun;
	const { WORLD_SIZE: _w, ...noSize } = torchrun;
	const { MASTER_ADDR: _a, ...noAddress } = torchrun;
	const { MASTER_PORT: _p, ...noPort } = torchrun;
	const fails = (env: Record<string, string>, message: RegExp) =>
		t.throws(() => placeInEnvironment(env), { code: 'EHR_JEPA_CONFIG', message });
	fails(noRank, /RANK must be set where WORLD_SIZE is 8 but is not/);
	fails(noSize, /WORLD_SIZE must be set where RANK is 3 but is not/);
	fails(noAddress, /MASTER_ADDR must be set/);
	fails(noPort, /MASTER_PORT must be set/);
	fails({ ...torchrun, RANK: '8' }, /RANK must be below WORLD_SIZE \(8\) but is 8/);
	fails({ ...torchrun, RANK: '-1' }, /RANK must be a whole number from 0 to 65535 but is "-1"/);
	fails({ ...torchrun, WORLD_SIZE: '2x' }, /WORLD_SIZE must be a whole number .* but is "2x"/);
	fails({ ...torchrun, WORLD_SIZE: '0' }, /WORLD_SIZE must be a whole number/);
	fails({ ...torchrun, LOCAL_RANK: '2' }, /LOCAL_RANK must be below .* \(2\) but is 2/);
	fails({ ...torchrun, RANK: '0' }, /LOCAL_RANK must be at most RANK \(0\), .* but is 1/);
	const task = { SLURM_PROCID: '2', SLURM_NTASKS: '8', RANK: '0', WORLD_SIZE: '8' };
	fails(task, /RANK must be that of the task \(SLURM_PROCID, 2\) but is 0; leave RANK and WORLD_SIZE out under srun/);
	fails({ ...torchrun, MASTER_PORT: '70000' }, /MASTER_PORT must be a whole number from 1 to 65535/);
});

t.test('where ranks meet is known, as far as possible, to one whose variables are refused', async (t) => {
	const { RANK: _r, ...noRank } = torchrun;
	const { MASTER_ADDR: _a, ...noAddress } = torchrun;
	const place = { worldSize: 8, address: 'node0', port: 29_500, launcherServes: true, attempt: 2 };
	t.match(meetingPlace({ ...torchrun, RANK: '8' }), { ...place, rank: 8 });
	t.match(meetingPlace(noRank), { ...place, rank: undefined });
	t.match(meetingPlace({ ...torchrun, RANK: 'two' }), { ...place, rank: undefined });
	t.equal(meetingPlace(noAddress), undefined);
	t.equal(meetingPlace({ WORLD_SIZE: '1', RANK: '0', MASTER_ADDR: 'node0', MASTER_PORT: '29500' }), undefined);
	t.equal(meetingPlace({}), undefined);
});
