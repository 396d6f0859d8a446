import {
	type Data,
	Field,
	Int32,
	Int64,
	List,
	makeData,
	RecordBatch,
	Schema,
	Struct,
	type Vector,
	vectorFromArray,
} from 'apache-arrow';
import type { Timeline } from '../types.js';

/** Schema of a token store's split files; docs/token-store.md describes it for other programs. */
const listOf = (type: Int32 | Int64) => new List(new Field('item', type, false));
export const timelineSchema = new Schema([
	new Field('subject_id', new Int64(), false),
	new Field('static_tokens', listOf(new Int32()), false),
	new Field('birth_day', new Int32(), true),
	new Field('tokens', listOf(new Int32()), false),
	new Field('days', listOf(new Int32()), false),
	new Field('day_offsets', listOf(new Int32()), false),
	new Field('times', listOf(new Int64()), false),
	new Field('time_offsets', listOf(new Int32()), false),
]);

function offsetsOf(lists: readonly { readonly length: number }[]): Int32Array {
	const offsets = new Int32Array(lists.length + 1);
	for (const [i, list] of lists.entries()) offsets[i + 1] = offsets[i]! + list.length;
	return offsets;
}

function int32Lists(lists: readonly Int32Array[]): Data {
	const offsets = offsetsOf(lists);
	const values = new Int32Array(offsets.at(-1)!);
	for (const [i, list] of lists.entries()) values.set(list, offsets[i]!);
	const child = makeData({ type: new Int32(), data: values });
	return makeData({ type: listOf(new Int32()), length: lists.length, nullCount: 0, valueOffsets: offsets, child });
}

function int64Lists(lists: readonly BigInt64Array[]): Data {
	const offsets = offsetsOf(lists);
	const values = new BigInt64Array(offsets.at(-1)!);
	for (const [i, list] of lists.entries()) values.set(list, offsets[i]!);
	const child = makeData({ type: new Int64(), data: values });
	return makeData({ type: listOf(new Int64()), length: lists.length, nullCount: 0, valueOffsets: offsets, child });
}

/** One record batch: one row per patient. */
export function timelineBatch(timelines: readonly Timeline[]): RecordBatch {
	const children = [
		makeData({ type: new Int64(), data: BigInt64Array.from(timelines, ({ subjectId }) => subjectId) }),
		int32Lists(timelines.map(({ staticTokens }) => staticTokens)),
		vectorFromArray(
			timelines.map(({ birthDay }) => birthDay),
			new Int32(),
		).data[0]!,
		int32Lists(timelines.map(({ tokens }) => tokens)),
		int32Lists(timelines.map(({ days }) => days)),
		int32Lists(timelines.map(({ dayOffsets }) => dayOffsets)),
		int64Lists(timelines.map(({ times }) => times)),
		int32Lists(timelines.map(({ timeOffsets }) => timeOffsets)),
	];
	const data = makeData({ type: new Struct(timelineSchema.fields), length: timelines.length, nullCount: 0, children });
	return new RecordBatch(timelineSchema, data);
}

/** Row `row` of a record batch; the arrays are copies, so that the batch can be freed. */
export function timelineAt(batch: RecordBatch, row: number): Timeline {
	const column = (name: string): Vector => batch.getChild(name)!;
	const int32s = (name: string) => Int32Array.from((column(name).get(row) as Vector<Int32>).toArray());
	return {
		subjectId: column('subject_id').get(row) as bigint,
		staticTokens: int32s('static_tokens'),
		birthDay: column('birth_day').get(row) as number | null,
		tokens: int32s('tokens'),
		days: int32s('days'),
		dayOffsets: int32s('day_offsets'),
		times: BigInt64Array.from((column('times').get(row) as Vector<Int64>).toArray()),
		timeOffsets: int32s('time_offsets'),
	};
}
