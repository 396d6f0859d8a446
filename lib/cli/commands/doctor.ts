import type { Argv } from 'yargs';
import { doctor } from '../../doctor/doctor.js';
import type { DoctorReport } from '../../doctor/report.js';
import { withContext } from '../context.js';
import { deviceOf, deviceOption } from '../device-option.js';
import { exitCodes } from '../exit-codes.js';

export const builder = (yargs: Argv) =>
	yargs
		.option('device', deviceOption)
		.option('quick', { type: 'boolean', default: false, describe: 'Small tensors and seconds of training' })
		.example('$0 doctor --json > doctor.json', 'To be put into an issue')
		.example('$0 doctor --device cpu --quick', 'Whether everything is well here, in half a minute');

export async function handler(args: Awaited<ReturnType<ReturnType<typeof builder>['parseAsync']>>): Promise<void> {
	await withContext(Boolean(args.json), async (context) => {
		const device = deviceOf(context, args.device);
		const report = await doctor({ ...context.operation(), device, quick: args.quick });
		context.result(text(report), report);
		if (!report.agrees) process.exitCode = exitCodes.native;
	});
}

function text(report: DoctorReport): string {
	const { versions, device, why, devices, limits, wishes, ops, objectives, resumes, run, problems } = report;
	const off = (error: number) => (error < 0 ? '-' : error.toExponential(1));
	const percent = (share: number | null | undefined) =>
		limits === null ? '' : (share === null || share === undefined ? '' : `${Math.round(share * 100)} %`).padStart(6);
	const set = Object.entries(wishes).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]));
	const rate = (amount: number, seconds: number) => (amount / seconds / 1e9).toFixed(1);
	const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
	return [
		`ehr-jepa ${versions.package}, torch ${versions.torch}, node ${versions.node}, ${versions.cpuCapability}`,
		`${device}: ${why}; driver ${devices.driver === '' ? 'none' : devices.driver}, ${devices.list.length} cards`,
		...(set.length === 0 ? [] : [`set: ${set.join(' ')}`]),
		...(limits === null
			? []
			: [
					`shares are of ${limits.flops / 1e12} TF/s and ${limits.bandwidth / 1e9} GB/s, the vendor's figures of ${limits.card}${limits.by === 'name' ? '' : ', which this card is only like'}`,
				]),
		'',
		`${'op'.padEnd(43)} ${'float32'.padStart(8)} ${'bfloat16'.padStart(8)} ${'ms'.padStart(9)} ${'GF/s'.padStart(9)}${percent(null)} ${'GB/s'.padStart(8)}`,
		...ops.map(
			(op) =>
				`${op.name.padEnd(43)} ${off(op.float32Error).padStart(8)} ${off(op.bfloat16Error).padStart(8)} ${(op.seconds * 1000).toFixed(3).padStart(9)} ${(op.flops === 0 ? '' : rate(op.flops, op.seconds)).padStart(9)}${percent(op.share?.flops)} ${rate(op.bytes, op.seconds).padStart(8)}${percent(op.share?.bandwidth)}  ${op.dtype}, ${op.kernels ? 'own kernels' : "libtorch's"}`,
		),
		'errors are those against the reference in float64; times are of forward and backward together',
		'',
		...objectives.map(({ name, error }) => `${name.padEnd(43)} ${off(error).padStart(8)} from the CPU in float32`),
		`${'resume'.padEnd(43)} ${resumes ? 'the same bytes' : 'other bytes'}`,
		`${'short run'.padEnd(43)} ${run.steps} steps in ${run.seconds.toFixed(0)} s, loss ${run.firstLoss.toFixed(3)} to ${run.lastLoss.toFixed(3)}, ${Math.round(run.tokensPerSecond)} tokens/s, ${mib(run.peakBytes)} (plan ${mib(run.plannedBytes)})`,
		'',
		...(problems.length === 0 ? ['everything agrees'] : problems.map((problem) => `DOES NOT AGREE: ${problem}`)),
	].join('\n');
}
