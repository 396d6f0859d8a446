/** `embed`, `score` and `evaluate` divided among processes: the same bytes as of one, whoever dies. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { prepareStore, simulateCohort, type TrainConfigInput } from '../../lib/index.js';
import { runCli } from '../fixtures/run-cli.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { freePort, rankEnvironments, start, tinyRun } from './launched.js';

const folder = temporaryFolder(t);
const settings: TrainConfigInput = { ...tinyRun, steps: 2, objective: { latent: { branch: { kind: 'state' } } } };
const definitions = ['event', 'time-to-event'].map((kind) => ({
	name: `visit-${kind}`,
	label: 'Visit',
	kind,
	codes: { prefix: ['VISIT//'] },
	horizonsDays: kind === 'event' ? [60, 120] : [60],
}));
const ok = async (t: Test, ...args: string[]) => {
	const { status, stdout, stderr } = await runCli(t, args, folder);
	if (status !== 0) t.fail(`${args.join(' ')}: ${stderr}`);
	return stdout;
};

t.before(async () => {
	await simulateCohort(join(folder, 'cohort'), { patients: 110, seed: 1 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	writeFileSync(join(folder, 'train.json'), JSON.stringify(settings));
	writeFileSync(join(folder, 'definitions.json'), JSON.stringify(definitions));
	const lines = Array.from({ length: 400 }, (_, i) =>
		JSON.stringify(Array.from({ length: 2 + (i % 40) }, () => i % 90)),
	);
	writeFileSync(join(folder, 'ids.jsonl'), lines.join('\n'));
});

/** Names and bytes of files and of what is in folders whose name begins so. */
function bytesOf(name: string): [string, string][] {
	return readdirSync(folder)
		.filter((file) => file.startsWith(name))
		.flatMap((file) => {
			const path = join(folder, file);
			const inner = file.endsWith('.predictions')
				? readdirSync(path, { recursive: true, withFileTypes: true })
						.filter((entry) => entry.isFile())
						.map((entry) => join(entry.parentPath, entry.name))
				: [path];
			return inner.sort().map((one): [string, string] => [
				one.slice(folder.length + 1 + name.length),
				// The time at which it was made is the one thing that differs.
				readFileSync(one, 'latin1').replace(/"createdAt": ".*"/, ''),
			]);
		});
}

const shardsOf = (name: string) => join(folder, `.${name}.shards`);
/** What each command writes, by what its files are called. */
const commands: Record<string, (name: string) => string[]> = {
	embed: (name) => ['embed', 'run', 'store', 'tasks', `${name}.parquet`, '--rollout', `${name}.rollout`],
	'score of tokens': (name) => ['score', 'run', `${name}.arrow`, '--tokens', 'ids.jsonl', '--hidden'],
	'score of days': (name) => ['score', 'run', `${name}.arrow`, '--store', 'store'],
	evaluate: (name) => [
		...['evaluate', 'cohort', 'tasks', `${name}.json`, '--store', 'store', '--draws', '40'],
		...['--model', 'a=embed-alone.parquet', '--rollout', 'a=embed-alone.rollout'],
		...['--predictions', `${name}.predictions`],
	],
};

t.test('shards of each command, in any order, give the bytes of one process', async (t) => {
	await ok(t, 'train', 'store', 'run', '--config', 'train.json');
	await ok(t, 'tasks', 'cohort', 'tasks', '--definitions', 'definitions.json', '--per-patient', '3');
	for (const [command, argsOf] of Object.entries(commands)) {
		const name = command.replaceAll(' ', '-');
		await ok(t, ...argsOf(`${name}-alone`));
		const expected = bytesOf(`${name}-alone`);
		t.ok(
			expected.length > 0 && (command !== 'evaluate' || expected.length > 10),
			`${command}: ${expected.length} files`,
		);
		const together = argsOf(`${name}-shards`);
		for (const index of [2, 1]) {
			await ok(t, ...together, '--shard', `${index}/2`);
			t.same(bytesOf(`${name}-shards`), [], 'nothing is there until all are');
		}
		await ok(t, ...together, '--assemble');
		for (const [i, [file, bytes]] of bytesOf(`${name}-shards`).entries()) {
			t.equal(file, expected[i]![0]);
			t.ok(bytes === expected[i]![1], `${command}: ${file}`);
		}
		t.equal(bytesOf(`${name}-shards`).length, expected.length);
	}
	t.notOk(
		readdirSync(folder).some((name) => name.endsWith('.shards')),
		'no work is left',
	);
});

t.test('missing shards are named, other options refused, and what is there is kept', async (t) => {
	const args = ['score', 'run', 'days.arrow', '--store', 'store'];
	const fails = async (status: number, message: RegExp, ...more: string[]) => {
		const found = await runCli(t, [...args, ...more], folder);
		t.equal(found.status, status, found.stderr);
		t.match(found.stderr, message);
	};
	await fails(4, /days\.arrow must have been begun but .* is not there; run its shards first/, '--assemble');
	await ok(t, ...args, '--shard', '2/3');
	await fails(4, /all 3 shards .* but 2 are not; run --shard 1\/3, --shard 3\/3/, '--assemble');
	await fails(4, /window must be the same for all shards .* was null .* is 40 now/, '--shard', '1/3', '--window', '40');
	await fails(4, /shards must be the same for all shards .* was 3 .* is 4 now/, '--shard', '1/4');
	await fails(2, /the shard must be i\/n with i from 1 to n/, '--shard', '4/3');
	await fails(2, /--shard must be i\/n, such as 2\/8, but is 1of3/, '--shard', '1of3');
	await fails(2, /--shard must stand without --assemble/, '--shard', '1/3', '--assemble');
	for (const shard of ['1/3', '3/3']) await ok(t, ...args, '--shard', shard);
	// As if a job had died: what it writes has no name until it is whole.
	rmSync(join(shardsOf('days.arrow'), 'done.1-of-3'));
	rmSync(join(shardsOf('days.arrow'), '1.1-of-3'));
	writeFileSync(join(shardsOf('days.arrow'), '.1.1-of-3.0123456789ab.tmp'), 'half');
	await ok(t, ...args, '--shard', '1/3');
	writeFileSync(join(shardsOf('days.arrow'), '1.2-of-3'), '');
	await fails(4, /1\.2-of-3 must hold the results of its shard but holds fewer/, '--assemble');
	await ok(t, ...args, '--shard', '2/3');
	t.equal(existsSync(join(folder, 'days.arrow')), false);
	rmSync(join(shardsOf('days.arrow'), '1.2-of-3'));
	await ok(t, ...args, '--shard', '2/3');
	await ok(t, ...args, '--assemble');
	t.ok(readFileSync(join(folder, 'days.arrow')).equals(readFileSync(join(folder, 'score-of-days-alone.arrow'))));
	await fails(4, /days\.arrow must not exist but does/, '--shard', '1/3');
});

t.test(
	'ranks give the bytes of one process, also after one of them was killed',
	{ skip: process.platform !== 'linux' },
	async (t) => {
		const inFolder = (args: readonly string[]) =>
			args.map((word) => (/^(run|store|tasks|.*\.(parquet|rollout))$/.test(word) ? join(folder, word) : word));
		const launched = start(['launch', '-n', '2', '--max-restarts', '1', ...inFolder(commands.embed!('launched'))]);
		const first = join(shardsOf('launched.parquet'), 'plan.json');
		for (let i = 0; i < 6000 && !existsSync(first); i++) await sleep(5);
		const children = readFileSync(`/proc/${launched.child.pid}/task/${launched.child.pid}/children`, 'utf8');
		process.kill(Number(children.trim().split(' ').at(-1)), 'SIGKILL');
		const { code, stderr, stdout } = await launched.ended;
		t.equal(code, 0, stderr);
		t.match(stderr, /rank 1 \(process \d+\) was ended by SIGKILL/);
		t.equal(stdout.match(/states of/g)?.length, 1, 'rank 0 alone prints');
		const found = bytesOf('launched');
		const expected = bytesOf('embed-alone');
		t.same(
			found.map(([file]) => file),
			expected.map(([file]) => file),
		);
		for (const [i, [file, bytes]] of found.entries()) t.ok(bytes === expected[i]![1], file);
		t.notOk(existsSync(shardsOf('launched.parquet')));
	},
);

t.test('ranks with other files are named, and so is a shard among them', async (t) => {
	const environments = rankEnvironments(2, await freePort());
	const args = ['embed', 'run', 'store', 'tasks', 'x.parquet'].map((word) =>
		word === 'embed' ? word : join(folder, word),
	);
	const ranks = environments.map((env, i) => start([...args, ...(i === 1 ? ['--pooling', 'mean'] : [])], env));
	const [one, other] = await Promise.all(ranks.map(({ ended }) => ended));
	t.same([one!.code, other!.code], [8, 8]);
	t.match(one!.stderr, /pooling must be the same for all ranks but is "mean" on rank 1 and "last" on rank 0/);
	t.notMatch(other!.stderr, /Error/, 'once');
	t.notOk(existsSync(join(folder, 'x.parquet')));
});
