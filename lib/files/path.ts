import { ConfigError } from '../errors.js';
import { kindOf } from '../found.js';

/**
 * Refuses what names no file: nothing (which would stand for the working directory), a NUL, no text.
 *
 * @param scope - Who was given it, for the message.
 * @param name - Of the argument.
 * @throws {ConfigError}
 */
export function requirePath(scope: string, name: string, path: unknown): void {
	const found =
		typeof path !== 'string'
			? `is ${kindOf(path)}`
			: path === ''
				? 'is empty'
				: path.includes('\0')
					? 'holds a NUL character'
					: undefined;
	if (found !== undefined)
		throw new ConfigError(`[${scope}] ${name} must be a path but ${found}; name a file or folder, "." for this one`);
}
