import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { simulateCohort } from '../../../../lib/cohort/simulate.js';
import { openMeds } from '../../../../lib/data/meds.js';
import { validateMeds } from '../../../../lib/data/validate.js';
import { soundMeds, writeMeds } from '../../../fixtures/meds-folder.js';
import { sharedData } from '../../../fixtures/shared-data.js';
import { temporaryFolder } from '../../../fixtures/temporary-folder.js';

t.setTimeout(600_000);

t.test('the simulated cohort is strict MEDS 0.4', async (t) => {
	const cohort = join(temporaryFolder(t), 'cohort');
	const summary = await simulateCohort(cohort, { patients: 60 });
	const report = await validateMeds(cohort);
	t.match(report, { valid: true, strict: true, findings: [], unchecked: [], events: summary.events, subjects: 60 });
});

const demo = sharedData('mimic-iv-demo-meds');
const skip = demo === undefined ? 'the MIMIC-IV demo is not beside the repository' : false;
t.test('the MIMIC-IV demo is strict MEDS 0.4, with its two known oddities', { skip }, async (t) => {
	const report = await validateMeds(demo!);
	t.match(report, { valid: true, strict: true, files: 3, events: 916_166, subjects: 100, codes: 7_035 });
	t.same(report.splits, { held_out: 20, train: 70, tuning: 10 });
	t.same(
		report.findings.map(({ name, count }) => [name, count]),
		[
			['after-death', 626],
			['duplicate-row', 82_446],
		],
	);
	t.match(await openMeds(demo!), { events: 916_166, notes: [] });
});

t.test('shards may be nested; what is no folder of parquet files is an error', async (t) => {
	const meds = soundMeds();
	meds.data['data/train/a/b/0.parquet'] = meds.data['data/train/0.parquet']!;
	delete meds.data['data/train/0.parquet'];
	const root = await writeMeds(temporaryFolder(t), meds);
	t.match(await validateMeds(root), { strict: true, files: 3, findings: [] });
	await t.rejects(validateMeds(join(root, 'none')), { code: 'EHR_JEPA_DATA', message: /must be a folder of parquet/ });
	const empty = temporaryFolder(t);
	mkdirSync(join(empty, 'data'));
	writeFileSync(join(empty, 'data', '0.csv'), 'a,b');
	await t.rejects(validateMeds(empty), {
		message: /must hold at least one \.parquet file but found none/,
	});
	await t.rejects(validateMeds(root, { maxCodeLength: 0 }), { code: 'EHR_JEPA_CONFIG' });
	await t.rejects(validateMeds(root, { strict: true } as never), { code: 'EHR_JEPA_CONFIG' });
});

t.test('the longest code is an option; the value in a report is cut', async (t) => {
	const meds = soundMeds();
	meds.data['data/tuning/0.parquet']!.push([3, '2020-01-03', `X${'Y'.repeat(99)}`]);
	const root = await writeMeds(temporaryFolder(t), meds);
	const [unlisted] = (await validateMeds(root)).findings;
	t.match(unlisted, { name: 'code-unlisted', first: { value: /^XY{79}\.\.\. \(100 characters\)$/ } });
	t.match((await validateMeds(root, { maxCodeLength: 99 })).findings[1], { name: 'code-long', count: 1 });
});

t.test('progress counts files; an abort ends it before or in the midst', async (t) => {
	const root = await writeMeds(temporaryFolder(t), soundMeds());
	const seen: number[] = [];
	await validateMeds(root, {}, { onProgress: ({ done }) => seen.push(done) });
	t.same(seen, [0, 1, 2, 3]);
	await t.rejects(validateMeds(root, {}, { signal: AbortSignal.abort() }), { code: 'ABORT_ERR' });
	const controller = new AbortController();
	const operation = {
		signal: controller.signal,
		onProgress: ({ done }: { done: number }) => done === 1 && controller.abort(),
	};
	await t.rejects(validateMeds(root, {}, operation), { code: 'ABORT_ERR' });
});

t.test('the command: exit code, one line per broken rule, --json', async (t) => {
	const bin = fileURLToPath(new URL('../../../../../scripts/ehr-jepa.mjs', import.meta.url));
	const run = (...args: string[]) => spawnSync(process.execPath, [bin, 'validate', ...args], { encoding: 'utf8' });
	const sound = run(await writeMeds(temporaryFolder(t), soundMeds()));
	t.equal(sound.status, 0);
	t.match(
		sound.stdout,
		/20 events of 4 subjects in 3 files, 4 codes; 1 held_out, 2 train, 1 tuning\nvalid MEDS 0\.4: \d+ rules, 0 broken, 0 warnings/,
	);
	const odd = soundMeds();
	odd.data['data/tuning/0.parquet']!.push([3, '2020-01-04', 'LAB//1//mg', 1]);
	odd.codes = undefined;
	const readable = run(await writeMeds(temporaryFolder(t), odd));
	t.equal(readable.status, 0, 'warnings are no failure');
	t.match(readable.stdout, /readable, with forms of an older MEDS/);
	const broken = soundMeds();
	broken.data['data/tuning/0.parquet']!.push([3, '2020-01-01', 'LAB//1//mg', 1]);
	const root = await writeMeds(temporaryFolder(t), broken);
	const refused = run(root);
	t.equal(refused.status, 3);
	t.match(
		refused.stdout,
		/error +time-order: .*\(1 places; first data\/tuning\/0\.parquet row 5, subject 3, 2020-01-01 00:00:00 after 2020-01-03 00:00:00\); sort each subject by time/,
	);
	t.match(refused.stdout, /not valid MEDS: \d+ rules, 1 broken, 0 warnings/);
	const json = run(root, '--json');
	t.equal(json.status, 3);
	t.match(JSON.parse(json.stdout), {
		valid: false,
		findings: [{ name: 'time-order', count: 1, first: { row: 5, subjectId: '3' } }],
	});
	t.equal(run(join(root, 'none')).status, 3);
	t.equal(run(root, '--max-code-length', '0').status, 2);
});
