/** `ehr-jepa doctor`: what it measures agrees here, and it exits so. */
import t from 'tap';
import { problemsOf } from '../../../lib/doctor/report.js';
import { objectivePresets } from '../../../lib/index.js';
import { runCli } from '../../fixtures/run-cli.js';

t.test('the doctor checks ops, objectives, a resume and a short run, and finds all well on the CPU', async (t) => {
	const { status, stdout } = await runCli(t, ['doctor', '--device', 'cpu', '--quick', '--json']);
	t.equal(status, 0);
	const report = JSON.parse(stdout);
	t.match(report, { agrees: true, problems: [], device: 'cpu', resumes: true });
	t.ok(report.ops.length >= 8);
	for (const op of report.ops) {
		t.ok(op.float32Error <= op.float32Limit && op.bfloat16Error <= op.bfloat16Limit, op.name);
		t.ok(op.bfloat16Error > 0 || op.name.startsWith('AdamW'), `${op.name}: bfloat16 was computed`);
	}
	t.equal(report.objectives.length, Object.keys(objectivePresets).length);
	t.ok(report.run.lastLoss < report.run.firstLoss);

	// Each part that does not agree is named, and alone decides.
	t.same(problemsOf(report), []);
	const [first] = report.ops;
	t.match(problemsOf({ ...report, ops: [{ ...first, float32Error: 1 }] }).join(), new RegExp(first.name));
	t.match(problemsOf({ ...report, ops: [{ ...first, bfloat16Error: Number.NaN }] }).join(), new RegExp(first.name));
	t.equal(problemsOf({ ...report, resumes: false }).length, 1);
	t.equal(problemsOf({ ...report, objectives: [{ ...report.objectives[0], error: 1 }] }).length, 1);
});

t.test('a device that is not there is said in one message', async (t) => {
	const { status, stderr } = await runCli(t, ['doctor', '--device', 'cuda:7']);
	t.equal(status, 5);
	t.match(stderr, /EHR_JEPA_DEVICE/);
});
