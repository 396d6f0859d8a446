/**
 * How fast does Qwen's tokenizer read records as text? `npm run bench -- tokenizer --meds DIR --tokenizer DIR [--json FILE]`.
 * The text is that of all patients (UT2). One thread encodes all texts, with empty caches and again with full ones;
 * the figures are printed only when the ids of every fifth patient are those of the encoder without caches.
 */
import { writeFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { eventsSql, openMedsFiles } from '../lib/data/meds.js';
import { quoted, withDatabase } from '../lib/data/query.js';
import { Serialiser } from '../lib/text/serialiser.js';
import type { TextEvent } from '../lib/text/text-event.js';
import { QwenTokenizer } from '../lib/tokenizer/qwen-tokenizer.js';

const options = await yargs(hideBin(process.argv))
	.scriptName('npm run bench -- tokenizer')
	.option('meds', { type: 'string', demandOption: true, describe: 'A MEDS data set, such as the MIMIC-IV demo' })
	.option('tokenizer', { type: 'string', demandOption: true, describe: 'Folder of a Qwen tokenizer' })
	.option('json', { type: 'string', describe: 'File for the rows' })
	.strict()
	.parseAsync();

/** The text of every patient. */
async function patientTexts(meds: string): Promise<string[]> {
	const dataset = await openMedsFiles(meds);
	return withDatabase({}, async (database) => {
		const rows = await database.rows(
			`SELECT subject_id, time, e.code, any_value(c.description) AS description, any_value(value)::DOUBLE AS value,
				any_value(text_value) AS text, any_value(unit) AS unit, any_value("table") AS table_name, e.filename, e.file_row_number
			FROM (${eventsSql(dataset, ['text_value', 'unit', 'table'])}) e
			LEFT JOIN read_parquet(${quoted(`${meds}/metadata/codes.parquet`)}) c ON c.code = e.code
			GROUP BY ALL ORDER BY subject_id, time NULLS FIRST, e.filename, e.file_row_number`,
		);
		const patients = new Map<bigint, TextEvent[]>();
		for (const row of rows) {
			const subject = row.subject_id as bigint;
			if (!patients.has(subject)) patients.set(subject, []);
			patients.get(subject)!.push({
				time: row.time as bigint | null,
				code: String(row.code),
				description: row.description as string | null,
				numericValue: row.value as number | null,
				textValue: row.text as string | null,
				unit: row.unit as string | null,
				table: row.table_name as string | null,
			});
		}
		const serialiser = new Serialiser();
		return [...patients.values()].map((events) => serialiser.serialise(events).text);
	});
}

const texts = await patientTexts(options.meds);
const tokenizer = await QwenTokenizer.fromPretrained(options.tokenizer);
const rows: { name: string; tokens: number; seconds: number; tokensPerSecond: number }[] = [];
const timed = (name: string) => {
	const started = performance.now();
	const ids = texts.map((text) => tokenizer.encode(text));
	const seconds = (performance.now() - started) / 1000;
	const tokens = ids.reduce((sum, { length }) => sum + length, 0);
	rows.push({ name, tokens, seconds, tokensPerSecond: tokens / seconds });
	return ids;
};
const cold = timed('empty caches');
for (let repeat = 0; repeat < 5; repeat++) timed('full caches');

let compared = 0;
for (let patient = 0; patient < texts.length; patient += 5) {
	const expected = tokenizer.encodeUncached(texts[patient]!);
	if (Buffer.compare(Buffer.from(expected.buffer), Buffer.from(cold[patient]!.slice().buffer)) !== 0)
		throw new Error(`[bench] the ids of patient ${patient} must be those of the encoder without caches but are not`);
	compared += expected.length;
}
console.log(
	`${texts.length} patients, one thread; ${compared} ids of every fifth patient are those of the encoder without caches`,
);
for (const { name, tokens, seconds, tokensPerSecond } of rows)
	console.log(
		`${name.padEnd(14)} ${tokens} tokens  ${seconds.toFixed(2)} s  ${(tokensPerSecond / 1e6).toFixed(2)} M tokens/s`,
	);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ rows }, undefined, '\t')}\n`);
