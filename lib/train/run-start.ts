import { resolve } from 'node:path';
import { ConfigError } from '../errors.js';
import { chooseDevice, type Device } from '../model/device.js';
import type { WorldModel } from '../model/world-model.js';
import { nativeAddon } from '../native.js';
import { packageVersion } from '../package-version.js';
import type { ProcessGroup } from '../ranks/process-group.js';
import type { LongOperation } from '../types.js';
import { checkpointModel, initialModel, type RunModelOptions } from './initial-model.js';
import { type RunConfig, updatesOf } from './run-config.js';
import type { RunFolder } from './run-folder.js';

/** @throws {ConfigError} When a run would not become longer. */
export function requireMoreUpdates(run: RunConfig, steps: number): void {
	const updates = updatesOf(run);
	if (Number.isSafeInteger(steps) && steps > updates) return;
	throw new ConfigError(
		`[train] steps must be a whole number above the ${updates} steps of the run to extend it but is ${steps}; give more, or leave it out to finish the run as it is`,
	);
}

/** The model of a run and the updates behind it: its newest whole checkpoint, or its start. */
export async function newestState(
	folder: RunFolder,
	onWarning: LongOperation['onWarning'],
	options: RunModelOptions,
	group: ProcessGroup | undefined,
): Promise<{ readonly model: WorldModel; readonly step: number }> {
	// Rank 0 looks, so that all go on from one step.
	const newest = async () => ((await folder.isUntrained()) ? undefined : await folder.newestCheckpoint(onWarning));
	let checkpoint = group === undefined || group.rank === 0 ? await newest() : undefined;
	if (group !== undefined) {
		const found = checkpoint;
		const step = await group.fromFirst(async () => found?.step ?? null);
		if (step !== null) checkpoint ??= await folder.checkpointAt(step);
	}
	if (checkpoint === undefined) return { model: await initialModel(folder.config, { ...options, group }), step: 0 };
	return {
		model: await checkpointModel(folder.config, checkpoint, { ...options, group, withOptimizer: true }),
		step: checkpoint.step,
	};
}

/**
 * Compares what ranks are about to do, before any of them does it.
 *
 * @throws {RankError} Names the first rank that differs, and the field.
 */
export async function requireSameRun(
	group: ProcessGroup | undefined,
	path: string,
	run: RunConfig,
	device: Device,
): Promise<void> {
	await group?.requireSame({
		installed: { package: packageVersion, torch: nativeAddon().buildInfo().torch },
		run: resolve(path),
		device: chooseDevice(device).device.replace(/:.*/, ''),
		...run,
	});
}
