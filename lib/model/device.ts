import { z } from 'zod';
import { DeviceError } from '../errors.js';
import { type NativeDevices, nativeAddon } from '../native.js';

/** Where a model computes. `auto` takes the best that is there; `cuda` is `cuda:0`. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
export const Device = z.custom<Device>(
	(value) => typeof value === 'string' && /^(auto|cpu|cuda(:(0|[1-9]\d{0,3}))?)$/.test(value),
	{ error: 'must be auto, cpu, cuda or cuda:N' },
);

/** Of operations that open a model. */
export interface OnDevice {
	/** Absent: `auto`. */
	readonly device?: Device | undefined;
}

/** A device and why it is the one. */
export interface DeviceChoice {
	readonly device: 'cpu' | `cuda:${number}`;
	/** Behind the device and a colon. */
	readonly why: string;
}

/** The oldest cards whose machine code is built (native/cmake/cuda_architectures.txt). */
const oldest = 80;

type Card = NativeDevices['list'][number];
const capability = ({ major, minor }: Card): number => 10 * major + minor;
const shown = (card: Card): string => `${card.name}, sm_${capability(card)}`;

/**
 * The device that a model asks for.
 *
 * @throws {DeviceError} For CUDA that cannot be had: a build for the CPU, no driver, no card of that number, a card older
 * than sm_80.
 */
export function chooseDevice(asked: Device, found: NativeDevices = nativeAddon().devices()): DeviceChoice {
	if (asked === 'cpu') return { device: 'cpu', why: 'as asked for' };
	if (asked === 'auto') {
		const number = found.list.findIndex((card) => capability(card) >= oldest);
		if (number === -1) return { device: 'cpu', why: missing(found) };
		return { device: `cuda:${number}`, why: `${shown(found.list[number]!)}; --device cpu computes on the CPU` };
	}
	const number = asked === 'cuda' ? 0 : Number(asked.slice('cuda:'.length));
	const card = found.list[number];
	if (card === undefined)
		throw new DeviceError(
			`[model] device must be one that is there but is ${asked}: ${missing(found)}; ${remedy(found)}`,
		);
	if (capability(card) < oldest) {
		throw new DeviceError(
			`[model] device must be a card of sm_${oldest} or newer but is ${asked} (${shown(card)}); choose another one, or cpu`,
		);
	}
	return { device: `cuda:${number}`, why: `${shown(card)}, as asked for` };
}

/**
 * The device of one of several processes that work together, one a card: where a process sees several, the card of its number on
 * the machine.
 *
 * @param asked - Of all of them.
 * @param place - Absent: a process on its own, which gets what it asked for.
 * @throws {DeviceError} When two would have one card.
 */
export function deviceOfRank(
	asked: Device,
	place: { readonly localRank: number; readonly localSize: number } | undefined,
	{ list }: NativeDevices = nativeAddon().devices(),
): Device {
	// A launcher may show each process a card of its own.
	if (place === undefined || place.localSize === 1 || asked === 'cpu' || list.length <= 1) return asked;
	const own: Device = `cuda:${place.localRank}`;
	if (asked !== 'auto' && asked !== 'cuda' && asked !== own)
		throw new DeviceError(
			`[model] device must be auto, cpu or cuda where several processes of a machine have a card each but is ${asked} for LOCAL_RANK ${place.localRank}; leave it out`,
		);
	if (place.localRank >= list.length)
		throw new DeviceError(
			`[model] each process of a machine must have a card of its own but LOCAL_RANK is ${place.localRank} and there are ${list.length}; start as many processes, or give cpu`,
		);
	return own;
}

/** Why there is no such device. */
function missing({ built, driver, list }: NativeDevices): string {
	if (!built) return 'this is the CPU build';
	if (driver === '') return 'the build has CUDA but the machine has no driver for it';
	if (list.length === 0) return `the driver (CUDA ${driver}) shows no card`;
	const cards = list.map((card, number) => `cuda:${number} is ${shown(card)}`).join(', ');
	return list.some((card) => capability(card) >= oldest)
		? `there are ${list.length} (${cards})`
		: `no card is sm_${oldest} or newer (${cards})`;
}

function remedy({ built, driver, list }: NativeDevices): string {
	if (!built) return 'build for CUDA with EHR_JEPA_CUDA=1 npx ehr-jepa setup (docs/cuda.md), or give auto or cpu';
	if (driver === '') return "install NVIDIA's driver, or give auto or cpu";
	if (list.length === 0) return 'see what nvidia-smi and CUDA_VISIBLE_DEVICES say, or give auto or cpu';
	return `give a number below ${list.length}, auto or cpu`;
}

/** A device's card as it is now; undefined for the CPU. */
export function cardOf(device: DeviceChoice['device']): Card | undefined {
	return device === 'cpu' ? undefined : nativeAddon().devices().list[Number(device.slice('cuda:'.length))];
}

/** For the first line of a command. */
export function deviceNote(asked: Device): string {
	const { device, why } = chooseDevice(asked);
	return `on ${device}: ${why}`;
}
