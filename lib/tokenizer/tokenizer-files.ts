import { isUtf8 } from 'node:buffer';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VocabularyError } from '../errors.js';
import { faultOf } from '../files/faults.js';
import { parseJson } from '../files/json.js';
import { makeFolder, writeWhole } from '../files/whole.js';
import { isObject, kindOf } from '../found.js';

/** Files of a model's folder that belong to its tokenizer; the same that an export copies. */
export const tokenizerFileNames = [
	'tokenizer.json',
	'tokenizer_config.json',
	'vocab.json',
	'merges.txt',
	'added_tokens.json',
	'special_tokens_map.json',
	'chat_template.jinja',
] as const;
export type TokenizerFileName = (typeof tokenizerFileNames)[number];

/** Tokenizer files of one folder, byte for byte. */
export interface TokenizerFiles {
	readonly directory: string;
	/** Those of {@link tokenizerFileNames} that are there. */
	readonly contents: ReadonlyMap<TokenizerFileName, Buffer>;
}

/** @throws {VocabularyError} When the folder cannot be read, or a file is not UTF-8. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
	const contents = new Map<TokenizerFileName, Buffer>();
	try {
		const there = new Set(await readdir(directory));
		for (const name of tokenizerFileNames) {
			if (there.has(name)) contents.set(name, await readFile(join(directory, name)));
		}
	} catch (cause) {
		throw new VocabularyError(
			`[tokenizer] ${directory} must be a folder with readable tokenizer files but is ${faultOf(cause)}; give the folder of a Qwen model`,
			{ cause },
		);
	}
	for (const [name, content] of contents) {
		if (!isUtf8(content))
			throw new VocabularyError(
				`[tokenizer] ${join(directory, name)} must be UTF-8 but is not; the file is damaged, fetch it again`,
			);
	}
	return { directory, contents };
}

/** Text of a file. @throws {VocabularyError} When it is missing. */
export function tokenizerText({ directory, contents }: TokenizerFiles, name: TokenizerFileName): string {
	const content = contents.get(name);
	if (content === undefined)
		throw new VocabularyError(
			`[tokenizer] ${directory} must hold tokenizer.json, or vocab.json and merges.txt, but ${name} is missing (found: ${[...contents.keys()].join(', ') || 'none of them'}); give the folder of a Qwen model`,
		);
	return content.toString('utf8');
}

/** A file as JSON, an object. @throws {VocabularyError} When it is missing, not JSON, or not an object. */
export function tokenizerJson(files: TokenizerFiles, name: TokenizerFileName): Readonly<Record<string, unknown>> {
	const text = tokenizerText(files, name);
	let found: string;
	try {
		const json: unknown = parseJson(text);
		if (isObject(json)) return json;
		found = `is ${kindOf(json)}`;
	} catch (cause) {
		found = `cannot be read: ${(cause as Error).message}`;
	}
	throw new VocabularyError(
		`[tokenizer] ${join(files.directory, name)} must be a JSON object but ${found}; the file is damaged, fetch it again`,
	);
}

/**
 * Writes the files into a folder, each whole or not at all.
 *
 * @returns Names of the files.
 * @throws {OutputError} When the folder cannot be made or written to.
 */
export async function writeTokenizerFiles(files: TokenizerFiles, directory: string): Promise<TokenizerFileName[]> {
	await makeFolder(directory);
	for (const [name, content] of files.contents) await writeWhole(join(directory, name), content);
	return [...files.contents.keys()];
}
