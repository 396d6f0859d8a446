/** `ehr-jepa doctor`: what it measures agrees here, and it exits so. */
import t from 'tap';
import { cardLimits } from '../../../lib/doctor/card-limits.js';
import { problemsOf, shareOf } from '../../../lib/doctor/report.js';
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
	t.ok(report.run.peakBytes > 50e6 && report.run.plannedBytes > 50e6);
	const ways = report.ops.map(({ name }: { name: string }) => name).filter((name: string) => / by /.test(name));
	const expected = [64, 128].flatMap((heads) =>
		['kernels', 'sdpa'].map((way) => `attention by ${way}, heads of ${heads}`),
	);
	t.same(ways, expected, 'what computes attention here');
	t.equal(report.limits, null, 'no vendor says what this processor can do at most');

	// Each part that does not agree is named, and alone decides.
	t.same(problemsOf(report), []);
	const [first] = report.ops;
	t.match(problemsOf({ ...report, ops: [{ ...first, float32Error: 1 }] }).join(), new RegExp(first.name));
	t.match(problemsOf({ ...report, ops: [{ ...first, bfloat16Error: Number.NaN }] }).join(), new RegExp(first.name));
	t.equal(problemsOf({ ...report, resumes: false }).length, 1);
	t.equal(problemsOf({ ...report, objectives: [{ ...report.objectives[0], error: 1 }] }).length, 1);
});

t.test("a card's limits come by its name, else by its compute capability, else not at all", async (t) => {
	const limits = (name: string, major = 0, minor = 0) => cardLimits({ name, major, minor });
	t.match(limits('NVIDIA H100 80GB HBM3', 9), { card: 'H100 SXM', by: 'name', flops: 989.4e12, bandwidth: 3.35e12 });
	t.match(limits('NVIDIA H100 PCIe', 9), { card: 'H100 PCIe' });
	t.match(limits('NVIDIA H100 NVL', 9), { card: 'H100 NVL' });
	t.match(limits('NVIDIA A100-SXM4-40GB', 8), { card: 'A100 40GB', bandwidth: 1.555e12 });
	t.match(limits('NVIDIA A100-SXM4-80GB', 8), { card: 'A100 80GB SXM' });
	t.match(limits('NVIDIA A100 80GB PCIe', 8), { card: 'A100 80GB PCIe' });
	t.match(limits('NVIDIA GB200', 10), { card: 'B200', by: 'capability' });
	t.match(limits('NVIDIA GeForce RTX 4090 Laptop GPU', 8, 9), null);
	t.equal(limits('Another', 7, 5), null);

	const h100 = limits('H100')!;
	const op = { dtype: 'bfloat16', seconds: 1, flops: h100.flops / 2, bytes: h100.bandwidth / 4 };
	t.same(shareOf(op as never, h100), { flops: 0.5, bandwidth: 0.25 });
	t.equal(shareOf({ ...op, dtype: 'float32' } as never, h100).flops, null, 'the limit is that of bfloat16');
	t.equal(shareOf({ ...op, flops: 0 } as never, h100).flops, null);
});

t.test('a device that is not there is said in one message', async (t) => {
	const { status, stderr } = await runCli(t, ['doctor', '--device', 'cuda:7']);
	t.equal(status, 5);
	t.match(stderr, /EHR_JEPA_DEVICE/);
});
