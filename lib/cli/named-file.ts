import { ConfigError } from '../errors.js';

/** An argument `name=file`. @throws {ConfigError} For one without a name or a file. */
export function namedFile(
	command: string,
	option: string,
	text: string,
	kind: string,
): readonly [name: string, file: string] {
	const [name, file] = [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)];
	if (!text.includes('=') || name === '' || file === '')
		throw new ConfigError(`[${command}] --${option} must be name=${kind} but is ${text}`);
	return [name, file];
}
