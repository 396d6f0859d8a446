/** A message calls what was found by its kind: a list is no object, not-a-number is not null. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { configFile } from '../../lib/cli/settings.js';
import { parseConfig } from '../../lib/config.js';
import { readTokenSequences } from '../../lib/evaluate/token-sequences.js';
import { requirePath } from '../../lib/files/path.js';
import { kindOf, shown } from '../../lib/found.js';
import { readRun } from '../../lib/report/run-reader.js';
import { checkTextEvent } from '../../lib/text/text-event.js';
import { readTokenizerFiles, tokenizerJson } from '../../lib/tokenizer/tokenizer-files.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const folder = temporaryFolder(t);
const at = (name: string) => join(folder, name);

/** A JSON text of every kind and what it is called. */
const kinds = {
	'[[1]]': 'a list',
	'{}': 'an object',
	'"x"': 'a text',
	'7.5': 'a number',
	true: 'a boolean',
	null: 'null',
} as const;

/** The message of what a call throws. */
async function messageOf(t: Test, call: () => unknown): Promise<string> {
	try {
		await call();
	} catch (error) {
		return (error as Error).message;
	}
	t.fail('an error was expected');
	return '';
}

t.test('sequences of token ids', async (t) => {
	const refused = (text: string) => {
		writeFileSync(at('ids.jsonl'), text);
		return messageOf(t, async () => {
			for await (const ids of readTokenSequences(at('ids.jsonl'), 9)) t.type(ids, Int32Array);
		});
	};
	for (const [json, kind] of Object.entries(kinds)) {
		const item = json === '7.5' ? 'found 7.5' : `found ${kind} in place of one`;
		t.ok((await refused(`[1, ${json}]`)).endsWith(item), `${json} as an id`);
		t.ok((await refused(`{"tokens": [1, ${json}]}`)).endsWith(item), `${json} as an id in an object`);
		if (json === '[[1]]') {
			t.ok((await refused('[[1,2],[3]]')).endsWith('found a list in place of one'));
			continue;
		}
		const line = json === '{}' ? 'an object with nothing in "tokens"' : kind;
		t.ok((await refused(json)).endsWith(`found ${line}`), `${json} as a line`);
		t.ok((await refused(`{"tokens": ${json}}`)).endsWith(`an object with ${kind} in "tokens"`), `${json} as tokens`);
	}
	t.match(await refused('[1e400]'), /found Infinity$/);
	t.match(await refused('[-1]'), /found -1$/);
});

t.test('files that must hold an object', async (t) => {
	for (const [json, kind] of Object.entries(kinds)) {
		if (json === '{}') continue;
		writeFileSync(at('config.json'), json);
		writeFileSync(at('tokenizer.json'), json);
		for (const call of [
			() => readRun(folder),
			() => configFile('train', at('config.json')),
			async () => tokenizerJson(await readTokenizerFiles(folder), 'tokenizer.json'),
		]) {
			const message = await messageOf(t, call);
			t.match(message, new RegExp(`(found|holds|is) ${kind}(;|$)`), message);
		}
	}
});

t.test('arguments of the API', async (t) => {
	for (const [json, kind] of Object.entries(kinds)) {
		if (json === '"x"') continue;
		const value: unknown = JSON.parse(json);
		t.match(
			await messageOf(t, () => requirePath('run', 'folder', value)),
			new RegExp(`must be a path but is ${kind};`),
		);
		const event = { time: 0n, code: value } as never;
		t.match(await messageOf(t, () => checkTextEvent(event, 0)), new RegExp(`but found ${kind}$`));
	}
});

t.test('options name numbers that JSON does not have', async (t) => {
	const schema = z.strictObject({ rate: z.number().positive(), seed: z.int() });
	const refused = (value: unknown) => messageOf(t, () => parseConfig('x', schema, value));
	t.match(await refused({ rate: Number.NaN, seed: 1 }), /rate: .*but it is NaN$/);
	t.match(await refused({ rate: -Infinity, seed: 1 }), /rate: .*but it is -Infinity$/);
	t.match(await refused({ rate: -0, seed: 1 }), /rate: .*but it is -0$/);
	t.match(await refused({ rate: [Number.NaN], seed: 1 }), /rate: .*but it is \["NaN"\]$/);
	t.match(await refused({ rate: 5e-324, seed: 1e308 }), /seed: .*but it is 1e\+308$/);
	t.match(await refused({ rate: null, seed: 10n }), /rate: .*but it is null; seed: .*but it is "10"$/);
	t.match(await refused({ rate: () => 1, seed: 1 }), /rate: .*but it is a function$/);
	t.match(
		await refused({ rate: 'x'.repeat(5000), seed: 1 }),
		/rate: .*but it is a text of 5002 characters \("x{59} \.\.\.\)$/,
	);
	t.match(await refused([1]), /options: .*but it is \[1\]$/);
});

t.test('both words for one value agree', async (t) => {
	t.equal(kindOf(undefined), 'nothing');
	t.equal(kindOf(1n), 'a bigint');
	t.equal(shown(undefined), 'missing');
	t.equal(shown('x'), '"x"');
});

t.test('nobody else asks for the kind of a value to name it', async (t) => {
	const lib = fileURLToPath(new URL('../../../lib', import.meta.url));
	for (const file of readdirSync(lib, { recursive: true }).map(String)) {
		if (!file.endsWith('.ts') || file === 'found.ts') continue;
		t.notMatch(readFileSync(join(lib, file), 'utf8'), /\$\{typeof \w+\}|value: typeof \w+,|a JSON \w+ without/, file);
	}
});
