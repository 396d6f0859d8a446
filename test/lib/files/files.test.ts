import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { z } from 'zod';
import { CheckpointError } from '../../../lib/errors.js';
import { readJson, readJsonAs } from '../../../lib/files/json.js';
import { lockNewFolder } from '../../../lib/files/lock.js';
import { writePartialFolder } from '../../../lib/files/partial.js';
import { writeWhole, writeWholeFile, writeWholeFolder } from '../../../lib/files/whole.js';
import { temporaryFolder } from '../../fixtures/temporary-folder.js';

const lib = fileURLToPath(new URL('../../../../lib', import.meta.url));

t.test('only lib/files looks for files, reads JSON, renames, and streams to disk', async (t) => {
	const elsewhere: Record<string, readonly string[]> = {
		// Messages between ranks, from the server to its page, and lines of metrics.jsonl that are still being written.
		'JSON\\.parse\\(': [
			'package-version.ts',
			'ranks/process-group.ts',
			'view/client-script.ts',
			'view/metrics-follower.ts',
		],
		'\\baccess\\(|\\baccessSync\\(': [],
		'\\bexistsSync\\(': ['native.ts'],
		'\\brename(Sync)?\\(': [],
		// Into a file that writeWholeFolder renames into place.
		'\\bwriteFile(Sync)?\\(': ['export/copy-tensors.ts'],
		// metrics.jsonl grows line by line, and a last line that was cut off is passed over; a rewritten CSV file is scratch.
		'\\bcreateWriteStream\\(': ['train/run-folder.ts', 'data/omop/csv-rewrite.ts'],
		'function exists\\(': [],
	};
	const files = readdirSync(lib, { recursive: true })
		.map(String)
		.filter((name) => name.endsWith('.ts') && !name.startsWith('files/'));
	for (const [pattern, allowed] of Object.entries(elsewhere)) {
		const found = files.filter((name) => new RegExp(pattern).test(readFileSync(join(lib, name), 'utf8')));
		t.same(found.sort(), [...allowed].sort(), pattern);
	}
});

t.test('a file is replaced whole, and a failure leaves the old one and nothing else', async (t) => {
	const folder = temporaryFolder(t);
	const file = join(folder, 'a.json');
	await writeWhole(file, 'first');
	await writeWhole(file, new TextEncoder().encode('second'));
	await t.rejects(
		writeWholeFile(file, async (temporary) => {
			writeFileSync(temporary, 'thi');
			throw Object.assign(new Error('write'), { code: 'ENOSPC' });
		}),
		{ code: 'EHR_JEPA_OUTPUT', message: /a\.json could not be written: the disk is full; nothing is left of it/ },
	);
	t.equal(readFileSync(file, 'utf8'), 'second');
	t.same(readdirSync(folder), ['a.json']);
	await t.rejects(writeWhole(join(folder, 'no', 'b.json'), ''), { code: 'EHR_JEPA_OUTPUT' });
});

t.test('a folder appears whole; what another put in its place meanwhile is not touched', async (t) => {
	const folder = temporaryFolder(t);
	const out = join(folder, 'out');
	await t.rejects(
		writeWholeFolder(out, async (temporary) => {
			writeFileSync(join(temporary, 'half'), '');
			throw new Error('stopped');
		}),
		{ message: 'stopped' },
	);
	t.same(readdirSync(folder), []);
	for (const write of [
		(work: (folder: string) => Promise<void>) => writeWholeFolder(out, work),
		(work: (folder: string) => Promise<void>) => writePartialFolder(out, 'plan', work),
	]) {
		const work = async (temporary: string) => {
			writeFileSync(join(temporary, 'mine'), '');
			mkdirSync(out, { recursive: true });
			writeFileSync(join(out, 'theirs'), '');
		};
		await t.rejects(write(work), { code: 'EHR_JEPA_OUTPUT', message: /must be empty or absent but holds 1 entries/ });
		t.same(readdirSync(out), ['theirs']);
		t.same(readdirSync(folder), ['out']);
	}
	mkdirSync(join(folder, 'real'));
	symlinkSync('real', join(folder, 'link'));
	await writeWholeFolder(join(folder, 'link'), async (temporary) => writeFileSync(join(temporary, 'a'), ''));
	t.same(readdirSync(join(folder, 'real')), ['a'], 'through a link');
});

t.test('of two writers of one place the second is refused by name, by whichever link', async (t) => {
	const folder = temporaryFolder(t);
	const out = join(folder, 'out');
	symlinkSync(folder, join(folder, 'again'));
	await writeWholeFolder(out, async (temporary) => {
		writeFileSync(join(temporary, 'a'), '');
		for (const path of [out, join(folder, 'again', 'out')]) {
			const refused = { code: 'EHR_JEPA_OUTPUT', message: /must have one writer but this process on .* is writing it/ };
			await t.rejects(
				writeWholeFolder(path, async () => t.fail('not reached')),
				refused,
			);
			await t.rejects(
				writePartialFolder(path, 'plan', async () => t.fail('not reached')),
				refused,
			);
		}
	});
	t.same(readdirSync(folder).sort(), ['again', 'out']);
	t.same(readdirSync(out), ['a']);
});

t.test('a folder that could not be begun is not there', async (t) => {
	const folder = temporaryFolder(t);
	const foreign = join(folder, 'foreign');
	mkdirSync(foreign);
	writeFileSync(join(foreign, 'thesis.tex'), '');
	await t.rejects(lockNewFolder(foreign), { code: 'EHR_JEPA_OUTPUT', message: /holds 1 entries \(thesis.tex\)/ });
	t.same(readdirSync(foreign), ['thesis.tex']);
	const lock = await lockNewFolder(join(folder, 'new'));
	lock.remove();
	t.notOk(existsSync(join(folder, 'new')));
	writeFileSync(join(folder, 'file'), '');
	await t.rejects(lockNewFolder(join(folder, 'file', 'run')), { code: 'EHR_JEPA_OUTPUT' });
});

t.test('JSON that cannot be read is named by file and place, and never quoted', async (t) => {
	const folder = temporaryFolder(t);
	const file = join(folder, 'a.json');
	const about = { scope: 'test', fix: 'make it again' };
	await t.rejects(readJson(file, about), {
		code: 'EHR_JEPA_DATA',
		message: `[test] ${file}: must be JSON but found it is not there; make it again`,
	});
	writeFileSync(file, '{"a": 1,\n  "note": SECRET}');
	const error: Error = await readJson(file, { ...about, error: CheckpointError }).then(
		() => t.fail('not reached'),
		(cause) => cause,
	);
	t.match(error, {
		code: 'EHR_JEPA_CHECKPOINT',
		message: /a\.json must be JSON but it is not JSON/,
	});
	t.notMatch(`${error.message} ${(error.cause as Error).message}`, /SECRET/);
	writeFileSync(file, '{"a": ');
	await t.rejects(readJson(file, about), { message: /found it ends early/ });
	writeFileSync(file, '{"b": 1}');
	await t.rejects(readJsonAs(file, z.strictObject({ a: z.int() }), about), {
		code: 'EHR_JEPA_CONFIG',
		message: /a\.json\] a: .*; options has no option "b"/,
	});
});
