import { editDistance } from '../data/edit-distance.js';

/** What messages call an option that has another name on the command line. */
const otherNames: Readonly<Record<string, string>> = {
	externalLabels: 'labels',
	hideCodes: 'hide-code',
	horizonsDays: 'horizon',
	initialWeights: 'from',
	'lifeCodes.birth': 'birth-code',
	'lifeCodes.death': 'death-code',
	models: 'model',
	parameterDtype: 'dtype',
	windowTokens: 'window',
	tasks: 'definitions',
};

/**
 * A message of the API in the terms of the command line: options are named by their place in the options of a function
 * (`maxDropped`), and whoever types a command needs the flag (`--max-dropped`). The one place that knows both.
 *
 * @param flags - Of the command that ran, without dashes.
 */
export function withFlags(message: string, flags: readonly string[]): string {
	const names = flags.filter((flag) => flag.length > 1).map((flag) => [camelCase(flag), flag] as const);
	const others = Object.entries(otherNames).filter(([, flag]) => flags.includes(flag));
	const found = [...names, ...others]
		.filter(([name, flag]) => isNamed(message, name) && !message.includes(`--${flag}`))
		.map(([, flag]) => `--${flag}`);
	return found.length === 0 ? message : `${message} (on the command line: ${[...new Set(found)].join(', ')})`;
}

/**
 * What the parser says of arguments it does not know, with the flags that they may have been meant to be.
 *
 * @param flags - Of the command that ran, without dashes.
 */
export function withNearestFlags(message: string, flags: readonly string[]): string {
	const unknown = /^Unknown arguments?: (.+)$/m.exec(message)?.[1]?.split(', ') ?? [];
	const meant = [...new Set(unknown.flatMap((word) => flags.filter((flag) => isSlip(word, flag))))].map(
		(f) => `--${f}`,
	);
	return meant.length === 0 ? message : `${message}\nDid you mean ${meant.join(' or ')}?`;
}

/** Two letters of a long word, one of a short one. */
function isSlip(word: string, flag: string): boolean {
	return flag.length > 1 && editDistance(word.toLowerCase(), flag) <= (flag.length > 5 ? 2 : 1);
}

/** Whether a message names an option: any word of two is one; a word that may be English only where options are listed. */
function isNamed(message: string, name: string): boolean {
	const literal = name.replaceAll('.', '\\.');
	const listed = new RegExp(`(^\\[[^\\]]*\\] |; |[a-z]\\.)${literal}(\\.\\d[\\w.]*)?: `);
	return listed.test(message) || (/[A-Z]/.test(name) && new RegExp(`(?<![\\w-])${literal}\\b`).test(message));
}

function camelCase(flag: string): string {
	return flag.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
