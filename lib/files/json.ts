import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { parseConfig } from '../config.js';
import { DataError, type EhrJepaError } from '../errors.js';

/** Where a text stops being JSON; never what stands there, which may be a patient's. */
class JsonFault extends Error {
	constructor(text: string, cause: SyntaxError) {
		const position = /position (\d+)/.exec(cause.message)?.[1];
		const end = /Unexpected end|Unterminated/.test(cause.message);
		const before = text.slice(0, position === undefined ? undefined : Number(position)).split('\n');
		const number = /(?<![\w"])-?(NaN|Infinity)(?![\w"])/.exec(text)?.[0];
		super(
			end
				? 'it ends early'
				: number !== undefined
					? `it holds ${number}, which is no number of JSON`
					: position === undefined
						? 'it is not JSON'
						: `it is not JSON at line ${before.length}, column ${before.at(-1)!.length + 1}`,
		);
	}
}

/** @throws {JsonFault} */
export function parseJson(text: string): unknown {
	try {
		// Windows puts a byte order mark in front.
		return JSON.parse(text.replace(/^\uFEFF/, ''));
	} catch (cause) {
		throw new JsonFault(text, cause as SyntaxError);
	}
}

/** A key that an object of valid JSON text names twice, at any depth: of both values, readers of JSON keep the last. */
export function repeatedKey(text: string): string | undefined {
	const seen: Set<string>[] = [];
	const token = /"(?:[^"\\]|\\.)*"|[{}]/gs;
	for (let match = token.exec(text); match !== null; match = token.exec(text)) {
		const [found] = match;
		if (found === '{') seen.push(new Set());
		else if (found === '}') seen.pop();
		else if (/^\s*:/.test(text.slice(token.lastIndex, token.lastIndex + 16))) {
			const key = parseJson(found) as string;
			if (seen.at(-1)?.has(key)) return key;
			seen.at(-1)?.add(key);
		}
	}
	return undefined;
}

/** How to report a file that is missing or is not JSON. */
export interface JsonFile {
	/** Who reads it, for the message. */
	readonly scope: string;
	/** Default: `must be JSON`. */
	readonly rule?: string;
	readonly fix?: string;
	/** Class of the error; default: {@link DataError}. */
	readonly error?: new (
		message: string,
		options: ErrorOptions,
	) => EhrJepaError;
}

/**
 * Reads a JSON file.
 *
 * @throws {DataError} Or another class, naming file, rule, fault and fix.
 */
export async function readJson(file: string, about: JsonFile): Promise<unknown> {
	const { scope, rule = 'must be JSON', fix, error: Refusal } = about;
	const refuse = (broken: string, value: string, cause?: unknown): never => {
		if (Refusal === undefined)
			throw new DataError(scope, { file, rule: broken, value, ...(fix === undefined ? {} : { fix }) }, { cause });
		throw new Refusal(`[${scope}] ${file} ${broken} but ${value}${fix === undefined ? '' : `; ${fix}`}`, { cause });
	};
	let text = '';
	let json: unknown;
	try {
		text = await readFile(file, 'utf8');
		json = parseJson(text);
	} catch (cause) {
		return refuse(rule, cause instanceof JsonFault ? cause.message : fileFault(cause), cause);
	}
	const twice = repeatedKey(text);
	return twice === undefined ? json : refuse('must name every key once', `"${twice}" is there twice`);
}

/** As {@link readJson}, checked by a schema. @throws {ConfigError} Lists every violation. */
export async function readJsonAs<Schema extends z.ZodType>(
	file: string,
	schema: Schema,
	about: JsonFile,
): Promise<z.output<Schema>> {
	return parseConfig(`${about.scope} ${file}`, schema, await readJson(file, about));
}

export function fileFault(cause: unknown): string {
	const { code, message } = cause as NodeJS.ErrnoException;
	if (code === 'ENOENT' || code === 'ENOTDIR') return 'it is not there';
	return `it cannot be read: ${message}`;
}
