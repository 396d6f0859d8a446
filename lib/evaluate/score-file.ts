import {
	type Data,
	Field,
	FixedSizeList,
	Float32,
	Int32,
	Int64,
	makeData,
	RecordBatch,
	Schema,
	Struct,
} from 'apache-arrow';
import { WholeArrowFile } from '../files/arrow-file.js';
import type { DaySurprise, ScoredSequence } from './score.js';

/** Column types of the file of token scores; `hidden` only when it was asked for. */
function tokenSchema(hiddenSize: number | undefined): Schema {
	const fields: Field[] = [
		new Field('sequence', new Int32(), false),
		new Field('position', new Int32(), false),
		new Field('token', new Int32(), false),
		// Null for the first token of a sequence: nothing predicts it.
		new Field('log_probability', new Float32(), true),
	];
	if (hiddenSize !== undefined) fields.push(new Field('hidden', hiddenType(hiddenSize), false));
	return new Schema(fields);
}
const hiddenType = (hiddenSize: number) => new FixedSizeList(hiddenSize, new Field('item', new Float32(), false));

const daySchema = new Schema([
	new Field('subject_id', new Int64(), false),
	new Field('day', new Int32(), false),
	new Field('tokens', new Int32(), false),
	new Field('surprise', new Float32(), false),
	new Field('rank', new Int32(), false),
]);

/**
 * Writes scores as an Arrow IPC file, one record batch per sequence: sequence, position, token, log_probability and, with
 * a hidden size, hidden. Whole or not at all.
 *
 * @returns Sequences, tokens, and the mean log-probability of the tokens that have one (null for none).
 * @throws {OutputError}
 */
export async function writeTokenScores(
	path: string,
	scores: AsyncIterable<ScoredSequence>,
	hiddenSize?: number,
): Promise<{ readonly sequences: number; readonly tokens: number; readonly meanLogProbability: number | null }> {
	const schema = tokenSchema(hiddenSize);
	let sequences = 0;
	let tokens = 0;
	let scored = 0;
	let sum = 0;
	await writeArrow(path, schema, async function* () {
		for await (const sequence of scores) {
			const length = sequence.tokens.length;
			const children = [
				makeData({ type: new Int32(), data: new Int32Array(length).fill(sequences) }),
				makeData({ type: new Int32(), data: Int32Array.from({ length }, (_, i) => i) }),
				makeData({ type: new Int32(), data: sequence.tokens }),
				afterNull(sequence.logProbabilities),
			];
			if (hiddenSize !== undefined) {
				const values = makeData({ type: new Float32(), data: sequence.hidden });
				children.push(makeData({ type: hiddenType(hiddenSize), length, nullCount: 0, child: values }) as never);
			}
			sequences++;
			tokens += length;
			scored += sequence.logProbabilities.length;
			for (const value of sequence.logProbabilities) sum += value;
			yield batchOf(schema, length, children);
		}
	});
	return { sequences, tokens, meanLogProbability: scored === 0 ? null : sum / scored };
}

/**
 * Writes the surprise of days as an Arrow IPC file: subject_id, day (days since 1970-01-01), tokens, surprise (nats per
 * token), rank (1 is the patient's most surprising day). Whole or not at all.
 *
 * @throws {OutputError}
 */
export async function writeDaySurprise(
	path: string,
	patients: AsyncIterable<readonly DaySurprise[]>,
): Promise<{ readonly patients: number; readonly days: number }> {
	let count = 0;
	let days = 0;
	await writeArrow(path, daySchema, async function* () {
		for await (const rows of patients) {
			if (rows.length === 0) continue;
			count++;
			days += rows.length;
			yield batchOf(daySchema, rows.length, [
				makeData({ type: new Int64(), data: BigInt64Array.from(rows, ({ subjectId }) => subjectId) }),
				makeData({ type: new Int32(), data: Int32Array.from(rows, ({ day }) => day) }),
				makeData({ type: new Int32(), data: Int32Array.from(rows, ({ tokens }) => tokens) }),
				makeData({ type: new Float32(), data: Float32Array.from(rows, ({ surprise }) => surprise) }),
				makeData({ type: new Int32(), data: Int32Array.from(rows, ({ rank }) => rank) }),
			]);
		}
	});
	return { patients: count, days };
}

function batchOf(schema: Schema, length: number, children: readonly Data[]): RecordBatch {
	return new RecordBatch(
		schema,
		makeData({ type: new Struct(schema.fields), length, nullCount: 0, children: [...children] }),
	);
}

/** A null, for the first token of a sequence, and the values. */
function afterNull(values: Float32Array): Data<Float32> {
	const length = values.length + 1;
	const data = new Float32Array(length);
	data.set(values, 1);
	const nullBitmap = new Uint8Array(Math.ceil(length / 64) * 8);
	for (let i = 1; i < length; i++) nullBitmap[i >> 3]! |= 1 << (i & 7);
	return makeData({ type: new Float32(), data, nullCount: 1, nullBitmap });
}

async function writeArrow(path: string, schema: Schema, batches: () => AsyncGenerator<RecordBatch>): Promise<void> {
	const file = new WholeArrowFile(path, schema);
	try {
		for await (const batch of batches()) await file.write(batch);
	} catch (cause) {
		await file.abandon();
		throw cause;
	}
	await file.finish();
}
