import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import {
	assembleStoreOfShards,
	openTokenStore,
	type PrepareOptions,
	prepareShard,
	prepareStore,
} from '../../../lib/index.js';
import { writeManyMeds } from '../../fixtures/many-meds.js';
import { runCli } from '../../fixtures/run-cli.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';
import { tinyTokenizerJson, writeTokenizer } from '../../fixtures/tiny-tokenizer.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);
const tokenizer = writeTokenizer(folder, { 'tokenizer.json': tinyTokenizerJson() });
const text: PrepareOptions['tokens'] = { kind: 'text', tokenizer };
/** SHA-256 of each file of a store. */
const bytes = (store: string) =>
	Object.fromEntries(
		readdirSync(store, { recursive: true })
			.map(String)
			.filter((name) => statSync(join(store, name)).isFile())
			.sort()
			.map((name) => [
				name,
				createHash('sha256')
					.update(readFileSync(join(store, name)))
					.digest('hex'),
			]),
	);

t.before(async () => {
	// Row groups of 122,880 events are where a shard can be cut.
	await writeManyMeds(at('many'), { shards: 3, subjectsPerShard: 60, eventsPerSubject: 2500 });
});

t.test('one, two and three threads write the same bytes', async (t) => {
	for (const threads of [1, 2, 3]) {
		await prepareStore(at('many'), at(`threads-${threads}`), { threads });
		t.same(bytes(at(`threads-${threads}`)), bytes(at('threads-1')), `${threads} threads`);
	}
	t.ok(readdirSync(at('threads-1/train')).length >= 6, 'several parts');
});

t.test('a run that was killed goes on with its whole parts and ends with the same bytes', async (t) => {
	const script = fileURLToPath(new URL('../../../../scripts/ehr-jepa.mjs', import.meta.url));
	const partial = at('.killed.partial');
	const wholeParts = () =>
		existsSync(join(partial, 'parts'))
			? readdirSync(join(partial, 'parts')).filter((name) => name.endsWith('.json'))
			: [];
	const child = spawn(process.execPath, [script, 'prepare', at('many'), at('killed'), '--threads', '1'], {
		stdio: 'ignore',
	});
	const exited = new Promise((resolve) => child.once('exit', resolve));
	while (wholeParts().length === 0 && child.exitCode === null) await setTimeout(5);
	child.kill('SIGKILL');
	await exited;
	t.notOk(existsSync(at('killed')), 'nothing that looks whole');
	const [kept] = wholeParts();
	t.ok(kept, 'a whole part is left');
	const before = statSync(join(partial, 'train', '00000.arrow'));
	await prepareStore(at('many'), at('killed'));
	t.same(bytes(at('killed')), bytes(at('threads-1')));
	t.equal(statSync(join(at('killed'), 'train', '00000.arrow')).ino, before.ino, 'the part was not written again');
	t.notOk(existsSync(partial) || existsSync(`${partial}.lock`));
});

t.test('shards in any order and number are assembled to the same bytes; one that is missing is named', async (t) => {
	const [second, first] = [
		{ index: 2, of: 2 },
		{ index: 1, of: 2 },
	];
	await t.rejects(assembleStoreOfShards(at('many'), at('shards')), { message: /run its shards first/ });
	const { parts, ofParts } = await prepareShard(at('many'), at('shards'), second, { threads: 1 });
	t.ok(parts > 0 && parts < ofParts);
	await t.rejects(assembleStoreOfShards(at('many'), at('shards')), {
		code: 'EHR_JEPA_OUTPUT',
		message: new RegExp(
			`all ${ofParts} parts must be there to be assembled but ${ofParts - parts} (is|are) not; run --shard 1/2$`,
		),
	});
	await t.rejects(prepareShard(at('many'), at('shards'), first, { tokens: { kind: 'structured', bins: 3 } }), {
		message: /must have been begun with the same data, options and version but was with others/,
	});
	await t.rejects(prepareShard(at('many'), at('shards'), { index: 3, of: 2 }), { code: 'EHR_JEPA_CONFIG' });
	// A job that died has left a part that is not whole, and temporary files.
	const partial = at('.shards.partial');
	const [lost] = readdirSync(join(partial, 'parts')).filter((name) => name.endsWith('.json'));
	rmSync(join(partial, 'parts', lost!));
	writeFileSync(join(partial, 'parts', '.0.json.0123456789ab.tmp'), '{');
	await t.rejects(assembleStoreOfShards(at('many'), at('shards')), { message: /--shard 1\/2, --shard 2\/2$/ });
	await Promise.all([first, second].map((shard) => prepareShard(at('many'), at('shards'), shard, { threads: 1 })));
	await assembleStoreOfShards(at('many'), at('shards'));
	t.same(bytes(at('shards')), bytes(at('threads-1')));
	t.notOk(existsSync(partial));
});

t.test('an abort keeps what is whole; other options start anew and say so', async (t) => {
	const controller = new AbortController();
	const running = prepareStore(
		at('many'),
		at('aborted'),
		{ threads: 1 },
		{
			signal: controller.signal,
			onProgress: ({ stage, done }) => {
				if (stage === 'tokenise' && done > 150_000) controller.abort();
			},
		},
	);
	await t.rejects(running, { code: 'ABORT_ERR' });
	t.ok(existsSync(at('.aborted.partial')));
	const warnings: string[] = [];
	await prepareStore(
		at('many'),
		at('aborted'),
		{ tokens: { kind: 'structured', bins: 4 } },
		{ onWarning: (message) => warnings.push(message) },
	);
	t.match(warnings.join(), /other data or options/);
	t.equal(JSON.parse(readFileSync(at('aborted/vocabulary.json'), 'utf8')).bins, 4);
});

t.test('two at once on one folder are refused', async (t) => {
	const both = await Promise.allSettled([1, 2].map(() => prepareStore(at('many'), at('same'), { tokens: text })));
	const refused = both.filter((one) => one.status === 'rejected').map(({ reason }) => reason);
	t.match(refused, [{ code: 'EHR_JEPA_OUTPUT', message: /must have one writer|must be empty or absent/ }]);
	t.equal(refused.length, 1);
	rmSync(at('same'), { recursive: true });
	writeFileSync(at('.same.partial.lock'), '999999999');
	await prepareStore(at('many'), at('same'), { tokens: text, threads: 2 });
	t.pass('a lock whose process is gone is taken over');
});

t.test('jobs of the command line share parts, however each names the data set', async (t) => {
	const whole = bytes(at('threads-1'));
	for (const [meds, out, ...how] of [
		['many', 'by-jobs', '--shard', '1/3'],
		[at('many'), at('by-jobs'), '--shard', '2/3'],
		['./many', 'by-jobs', '--shard', '3/3'],
		['many', 'by-jobs', '--assemble'],
		['many', 'relative'],
	] as const) {
		const { status, stderr } = await runCli(t, ['prepare', meds, out, '--threads', '1', ...how], folder);
		t.equal(status, 0, stderr);
		const progress = [...stderr.matchAll(/tokenise +([\d,]+)\/([\d,]+) events/g)].at(-1)!;
		t.equal(progress[1], progress[2], `${how.join(' ')}: all of its own parts`);
	}
	t.same(bytes(at('by-jobs')), whole);
	t.same(bytes(at('relative')), whole, 'as under its absolute path');
	const both = await runCli(t, ['prepare', 'many', 'x', '--shard', '1/3', '--assemble'], folder);
	t.equal(both.status, 2);
	t.match(both.stderr, /--shard must stand without --assemble/);
});
t.test('patients are found by their ids, whichever shard they came from', async (t) => {
	const store = await openTokenStore(at('threads-1'));
	t.teardown(() => store.close());
	const train = store.split('train');
	t.equal(train.size, store.manifest.splits.train.patients);
	let previous = -(2n ** 63n);
	for (let place = 0; place < train.size; place += 7) {
		const { subjectId, tokens, days } = await train.entry(place);
		t.ok(subjectId > previous);
		previous = subjectId;
		t.equal(await train.indexOf(subjectId), place);
		const timeline = await train.timeline(place);
		t.equal(timeline.subjectId, subjectId);
		t.equal(timeline.tokens.length, tokens);
		t.equal(timeline.days.length, days);
	}
	t.equal(await train.indexOf(-5n), undefined);
	t.equal(await train.indexOf(10n ** 12n), undefined);
});
