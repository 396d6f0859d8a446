import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../errors.js';
import { parseJson } from '../files/json.js';
import { tokenizerFileNames } from '../tokenizer/tokenizer-files.js';

/**
 * Tokenizer files of a folder, to be copied beside a model.
 *
 * @param vocabSize - Rows of the model's embedding, one for each id at least.
 * @throws {ConfigError} When the folder has no tokenizer, or one with ids that the model has no row for.
 */
export async function tokenizerToCopy(directory: string | undefined, vocabSize: number): Promise<string[]> {
	if (directory === undefined) return [];
	const there = new Set(await readdir(directory).catch(() => []));
	const found = tokenizerFileNames.filter((name) => there.has(name));
	if (!found.includes('tokenizer.json') && !(found.includes('vocab.json') && found.includes('merges.txt'))) {
		throw new ConfigError(
			`[export] tokenizer must be a folder with tokenizer.json, or vocab.json and merges.txt, but ${directory} holds ${found.join(', ') || 'none of them'}`,
		);
	}
	const highest = await highestTokenId(directory);
	if (highest !== undefined && highest >= vocabSize) {
		throw new ConfigError(
			`[export] tokenizer must have ids below the ${vocabSize} rows of the model's embedding but ${directory} has ${highest}; give the tokenizer that the model was trained with`,
		);
	}
	return found.map((name) => join(directory, name));
}

/** Highest id of the tokenizer in a folder; undefined without one that can be read. */
async function highestTokenId(directory: string): Promise<number | undefined> {
	for (const name of ['tokenizer.json', 'vocab.json']) {
		const text = await readFile(join(directory, name), 'utf8').catch(() => undefined);
		if (text === undefined) continue;
		try {
			const json = parseJson(text) as {
				readonly model?: { readonly vocab?: Readonly<Record<string, unknown>> };
				readonly added_tokens?: readonly { readonly id?: unknown }[];
			} & Readonly<Record<string, unknown>>;
			const vocabulary = name === 'vocab.json' ? json : (json.model?.vocab ?? {});
			const ids = [...Object.values(vocabulary), ...(json.added_tokens ?? []).map(({ id }) => id)];
			return ids.reduce<number>((most, id) => (typeof id === 'number' && id > most ? id : most), -1);
		} catch {
			// Whoever opens it as a tokenizer says what is wrong with it.
			return undefined;
		}
	}
	return undefined;
}
