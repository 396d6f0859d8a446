import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { writeWhole } from '../../lib/files/whole.js';
import {
	buildTasks,
	commonTasks,
	exportHuggingFace,
	exportModelFolder,
	importOmop,
	openTokenStore,
	prepareStore,
	readEmbeddings,
	simulateCohort,
	Trainer,
	WorldModel,
	writeEmbeddings,
} from '../../lib/index.js';
import { parityFixture } from '../fixtures/checkpoint-variant.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { prepareTinyStore, tinyModel } from '../fixtures/tiny-model.js';
import { tinyOmop, writeOmopCsv } from '../fixtures/tiny-omop.js';

const cli = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));

/** Takes a new run folder when told to, fills it, holds it a while, says how it went. */
const contender = `
const [url, folder] = process.argv.slice(1);
const { lockNewFolder } = await import(url);
const { writeFileSync } = await import('node:fs');
process.stdout.write('ready');
await new Promise((resolve) => process.stdin.once('data', resolve));
try {
	const lock = await lockNewFolder(folder);
	writeFileSync(folder + '/config.json', '{}');
	await new Promise((resolve) => setTimeout(resolve, 500));
	lock.release();
	process.stdout.write('won');
} catch (error) {
	process.stdout.write(error.code + ' ' + error.message);
}
process.exit();
`;

t.test('of six processes started at once into one folder one works, and the others say which', async (t) => {
	const folder = temporaryFolder(t);
	const module = new URL('../../lib/files/lock.js', import.meta.url).href;
	for (const round of ['new', 'left by a dead process']) {
		const run = join(folder, round);
		if (round !== 'new') {
			mkdirSync(join(run, '.lock'), { recursive: true });
			const owner = { pid: 2 ** 22 + 1, host: hostname(), started: '', token: 'dead' };
			writeFileSync(join(run, '.lock', 'owner.json'), JSON.stringify(owner));
		}
		const children = Array.from({ length: 6 }, () => {
			const child = spawn(process.execPath, ['--input-type=module', '-e', contender, module, run], {
				stdio: ['pipe', 'pipe', 'inherit'],
			});
			let text = '';
			const ready = new Promise<void>((resolve) => {
				child.stdout.on('data', (chunk: Buffer) => {
					text += chunk;
					if (text.startsWith('ready')) resolve();
				});
			});
			const ended = new Promise<string>((resolve) => child.on('close', () => resolve(text.slice('ready'.length))));
			return { child, ready, ended };
		});
		await Promise.all(children.map(({ ready }) => ready));
		for (const { child } of children) child.stdin.write('go');
		const outcomes = await Promise.all(children.map(({ ended }) => ended));
		t.equal(outcomes.filter((text) => text === 'won').length, 1, `${round}: one works`);
		const winner = children[outcomes.indexOf('won')]!.child.pid;
		for (const text of outcomes.filter((text) => text !== 'won')) {
			// One that came after the winner had ended finds the folder filled.
			t.match(text, new RegExp(`^EHR_JEPA_OUTPUT .*(must have one writer but process ${winner} on |must be empty)`));
		}
		t.notOk(existsSync(join(run, '.lock')), 'the lock is released when the process ends');
	}
});

t.test('a resume beside a running training is refused and removes nothing', async (t) => {
	const folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	const store = await openTokenStore(join(folder, 'store'));
	t.teardown(() => store.close());
	const run = join(folder, 'run');
	const model = tinyModel;
	const config = { model, steps: 2, contextTokens: 24, futureTokens: 12, tokensPerStep: 128, tuningBatches: 1 };
	const trainer = await Trainer.create(run, store, config);
	const unfinished = join(run, 'checkpoints', '.step-00000001.0123456789ab.tmp');
	mkdirSync(unfinished, { recursive: true });
	const refused = { code: 'EHR_JEPA_OUTPUT', message: /must have one writer but this process/ };
	await t.rejects(Trainer.resume(run, store), refused);
	await t.rejects(Trainer.create(run, store, config), refused);
	t.ok(existsSync(unfinished));
	await trainer.close();
	await t.rejects(Trainer.create(run, store, { ...config, seed: 2 }), {
		code: 'EHR_JEPA_OUTPUT',
		message: /must be empty or absent but holds a run of other options/,
	});
	{
		await using resumed = await Trainer.resume(run, store);
		for await (const _ of resumed.run(store));
	}
	t.notOk(existsSync(unfinished), 'its one writer removes what a killed one left');
	t.same(readdirSync(run).sort(), ['checkpoints', 'config.json', 'metrics.jsonl']);
});

t.test('of two calls at once into one folder one works, whatever they write, and the other is refused', async (t) => {
	const folder = temporaryFolder(t);
	await prepareTinyStore(folder);
	const meds = join(folder, 'meds');
	const cdm = writeOmopCsv(join(folder, 'cdm'), tinyOmop());
	const model = await WorldModel.fromPretrained(parityFixture('gqa-tied'), { maskTokenId: 1 });
	t.teardown(() => model.close());
	const writers: Readonly<Record<string, (out: string) => Promise<unknown>>> = {
		simulateCohort: (out) => simulateCohort(out, { patients: 4 }),
		importOmop: (out) => importOmop(cdm, out),
		prepareStore: (out) => prepareStore(meds, out, { tokens: { kind: 'structured', minPatients: 1 } }),
		buildTasks: (out) => buildTasks(meds, out, { tasks: [commonTasks[0]!] }),
		exportHuggingFace: (out) => exportHuggingFace(model, out),
		exportModelFolder: (out) => exportModelFolder(parityFixture('gqa-tied'), out),
	};
	for (const [name, write] of Object.entries(writers)) {
		const out = join(folder, name);
		const outcomes = await Promise.allSettled([write(out), write(out)]);
		const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
		t.equal(refused.length, 1, `${name}: ${refused.join()}`);
		t.match(refused[0], { code: 'EHR_JEPA_OUTPUT', message: /must have one writer but this process/ }, name);
		t.ok(readdirSync(out).length > 0);
		await t.rejects(write(out), { code: 'EHR_JEPA_OUTPUT', message: /must be empty or absent/ }, name);
		t.same(
			readdirSync(folder).filter((entry) => entry.startsWith('.')),
			[],
			`${name} leaves nothing beside it`,
		);
	}
});

/** Runs a command; its exit code and what it said. */
function command(...args: string[]): Promise<{ readonly code: number | null; readonly text: string }> {
	const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
	let text = '';
	for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk));
	return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })));
}

t.test('of two scores at once into one file one works, whenever the other starts', async (t) => {
	const folder = temporaryFolder(t);
	const sequences = (from: number) =>
		Array.from(
			{ length: 40 },
			(_, i) => `${JSON.stringify(Array.from({ length: 30 }, (_, j) => (from + i + j) % 20))}\n`,
		);
	for (const [name, from] of Object.entries({ a: 0, b: 7 }))
		writeFileSync(join(folder, name), sequences(from).join(''));
	const model = parityFixture('gqa-tied');
	const alone: Buffer[] = [];
	for (const name of ['a', 'b']) {
		t.equal((await command('score', model, join(folder, `${name}.arrow`), '--tokens', join(folder, name))).code, 0);
		alone.push(readFileSync(join(folder, `${name}.arrow`)));
	}
	for (const wait of [0, 100, 400]) {
		const out = join(folder, `${wait}.arrow`);
		// What a killed one left.
		writeFileSync(join(folder, `.${wait}.arrow.0123456789ab.tmp`), 'half');
		const first = command('score', model, out, '--tokens', join(folder, 'a'));
		await sleep(wait);
		const outcomes = await Promise.all([first, command('score', model, out, '--tokens', join(folder, 'b'))]);
		const winner = outcomes.findIndex(({ code }) => code === 0);
		const { code, text } = outcomes[1 - winner]!;
		t.equal(code, 4, text);
		t.match(text, /OutputError .*(must have one writer but process \d+ on |must not exist but does)/);
		t.ok(readFileSync(out).equals(alone[winner]!), 'the bytes of the one that worked');
	}
	t.same(
		readdirSync(folder).filter((name) => name.startsWith('.')),
		[],
		'neither locks nor what was unfinished',
	);
});

t.test('of two calls at once into one file the last one stands, whole', async (t) => {
	const folder = temporaryFolder(t);
	const text = join(folder, 'report.html');
	const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(3_000_000));
	await Promise.all(contents.map((content) => writeWhole(text, content)));
	t.ok(contents.includes(readFileSync(text, 'utf8')));
	const states = join(folder, 'states.parquet');
	const table = (value: number) => ({
		rows: 2000,
		columns: 8,
		values: new Float32Array(16_000).fill(value),
		samples: Array.from({ length: 2000 }, (_, i) => ({ subjectId: BigInt(i), predictionTime: 0n })),
	});
	await Promise.all([1, 2, 3].map((value) => writeEmbeddings(states, table(value), {})));
	const { rows, values } = await readEmbeddings(states);
	t.equal(rows, 2000);
	t.equal(new Set(values).size, 1, 'all rows are of one writer');
	t.same(readdirSync(folder).sort(), ['report.html', 'states.parquet']);
});
