import { ConfigError } from '../errors.js';
import type { HiddenStates } from '../model/hidden-states.js';

/** What a command line says: `last`, `all` or numbers with commas between. @throws {ConfigError} */
export function hiddenStatesOf(text: string): HiddenStates {
	if (text === 'last' || text === 'all') return text;
	const numbers = text.split(',').map((part) => (/^\d+$/.test(part.trim()) ? Number(part) : Number.NaN));
	if (numbers.every(Number.isSafeInteger)) return numbers;
	throw new ConfigError(`[embed] --layers must be last, all or numbers such as 0,2,4 but is "${text}"`);
}
