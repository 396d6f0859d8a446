import { z } from 'zod';
import { DeviceError } from '../errors.js';
import { nativeAddon } from '../native.js';

/** Where a model computes. `auto` takes the best that the engine can use; `cuda` is `cuda:0`. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
export const Device = z.custom<Device>(
	(value) => typeof value === 'string' && /^(auto|cpu|cuda(:(0|[1-9]\d{0,3}))?)$/.test(value),
	{ error: 'must be auto, cpu, cuda or cuda:N' },
);

/** A device and why it is the one. */
export interface DeviceChoice {
	/** The engine computes nowhere else yet (docs/cuda.md). */
	readonly device: 'cpu';
	/** Behind the device and a colon. */
	readonly why: string;
}

/**
 * The device that a model asks for.
 *
 * @throws {DeviceError} For CUDA: no part of the engine runs there yet, and a CPU build has not even its kernels.
 */
export function chooseDevice(asked: Device, { cuda } = nativeAddon().buildInfo()): DeviceChoice {
	if (asked === 'cpu') return { device: 'cpu', why: 'as asked for' };
	const engine = 'so far the engine computes on the CPU alone (docs/cuda.md)';
	if (asked === 'auto') return { device: 'cpu', why: cuda ? `${engine}, although this build has CUDA` : engine };
	const build = cuda ? '' : 'this is the CPU build, and ';
	throw new DeviceError(
		`[model] device must be one that the engine computes on but is ${asked}: ${build}${engine}; leave it out, or give auto or cpu`,
	);
}

/** For the first line of a command. */
export function deviceNote(asked: Device): string {
	const { device, why } = chooseDevice(asked);
	return `on ${device}: ${why}`;
}
