import { z } from 'zod';
import { parseConfig } from '../config.js';
import { Device, deviceNote, deviceOfRank } from '../model/device.js';
import { placeInEnvironment } from '../ranks/environment.js';
import type { CommandContext } from './context.js';

/** `--device` of the commands that run a model. */
export const deviceOption = {
	type: 'string',
	default: 'auto',
	describe: 'Where to compute: auto (a card where build and machine have one), cpu, cuda or cuda:N',
} as const;

/** Its value, checked; says in a line what was taken and why. @throws {ConfigError} {DeviceError} */
export function deviceOf(context: CommandContext, given: string): Device {
	const { device } = parseConfig('command line', z.strictObject({ device: Device }), { device: given });
	const own = deviceOfRank(device, placeInEnvironment());
	context.say(deviceNote(own));
	return own;
}
