import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { simulateCohort } from '../lib/cohort/simulate.js';
import { prepareStore } from '../lib/prepare/prepare.js';
import { temporaryFolder } from './fixtures/temporary-folder.js';

const root = new URL('../../', import.meta.url);

t.test('the training loop of docs/programming.md runs as it stands, and learns', async (t) => {
	const page = readFileSync(new URL('docs/programming.md', root), 'utf8');
	const example = /```ts\n(.*?)```/s.exec(page)![1]!;
	t.ok(example.trim().split('\n').length <= 40, 'about 30 lines, some of them broken by the formatter');
	const folder = temporaryFolder(t);
	await simulateCohort(join(folder, 'cohort'), { patients: 60, seed: 7 });
	await prepareStore(join(folder, 'cohort'), join(folder, 'store'));
	const entry = new URL('dist/lib/index.js', root).href;
	// TypeScript's `await using` runs on every supported Node once compiled; the loop itself has no types.
	const source = example.replaceAll("'ehr-jepa'", `'${entry}'`).replace('await using model', 'const model');
	writeFileSync(join(folder, 'loop.mjs'), `${source}\nawait model.close();\n`);
	const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'loop.mjs')], {
		cwd: folder,
		encoding: 'utf8',
		timeout: 300_000,
	});
	t.equal(status, 0, stderr.slice(-800));
	const losses = stdout
		.trim()
		.split('\n')
		.map((line) => Number(/^\d+ \d+\.\d+ (\d+\.\d+)$/.exec(line)?.[1]));
	t.ok(losses.length >= 3 && losses.every(Number.isFinite), stdout);
	t.ok(Math.min(...losses) < losses[0]!, 'the tuning loss fell');
	for (const part of ['encoder', 'target_encoder', 'predictor', 'optimizer'])
		t.ok(existsSync(join(folder, `best-${part}.safetensors`)), part);
});
