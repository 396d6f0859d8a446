import { type Data, Field, Int32, Int64, List, makeData, RecordBatch, Schema, Struct, type Vector } from 'apache-arrow';
import type { EpochDay, Timeline } from '../types.js';
import { GrowingInt32 } from './growing-array.js';

/** Schema of a token store's data files; docs/token-store.md describes it for other programs. */
const listOf = (type: Int32 | Int64) => new List(new Field('item', type, false));
const int32List = (name: string) => new Field(name, listOf(new Int32()), false);
const int64List = (name: string) => new Field(name, listOf(new Int64()), false);
const timelineSchema = new Schema([
	new Field('subject_id', new Int64(), false),
	int32List('static_tokens'),
	int64List('static_times'),
	int32List('static_offsets'),
	new Field('birth_day', new Int32(), true),
	int32List('tokens'),
	int32List('days'),
	int32List('day_offsets'),
	int64List('times'),
	int32List('time_offsets'),
	int32List('events'),
	int32List('event_offsets'),
]);

/** A list column that is being filled, one list per patient. */
class ListColumn {
	readonly values = new GrowingInt32();
	readonly ends = new GrowingInt32();
	/** Words of a value. */
	readonly width: 1 | 2;
	#begin = 0;

	constructor(width: 1 | 2) {
		this.width = width;
	}

	/** Values of the current patient so far. */
	get length(): number {
		return (this.values.length - this.#begin) / this.width;
	}

	/** Values of the patient who was ended last. */
	get lastLength(): number {
		const count = this.ends.length;
		return this.ends.items[count - 1]! - (count === 1 ? 0 : this.ends.items[count - 2]!);
	}

	endPatient(): void {
		this.#begin = this.values.length;
		this.ends.push(this.#begin / this.width);
	}

	data(): Data {
		const length = this.ends.length;
		const valueOffsets = new Int32Array(length + 1);
		valueOffsets.set(this.ends.items.subarray(0, length), 1);
		const type = this.width === 1 ? new Int32() : new Int64();
		const child =
			this.width === 1
				? makeData({ type: new Int32(), data: this.values.int32s() })
				: makeData({ type: new Int64(), data: this.values.int64s() });
		return makeData({ type: listOf(type), length, nullCount: 0, valueOffsets, child });
	}

	clear(): void {
		this.values.clear();
		this.ends.clear();
		this.#begin = 0;
	}
}

/** Patients that become one record batch. A builder fills the columns of the current patient and ends it. */
export class TimelineColumns {
	readonly staticTokens = new ListColumn(1);
	readonly staticTimes = new ListColumn(2);
	readonly staticOffsets = new ListColumn(1);
	readonly tokens = new ListColumn(1);
	readonly days = new ListColumn(1);
	readonly dayOffsets = new ListColumn(1);
	readonly times = new ListColumn(2);
	readonly timeOffsets = new ListColumn(1);
	readonly events = new ListColumn(1);
	readonly eventOffsets = new ListColumn(1);
	readonly #lists = [
		this.staticTokens,
		this.staticTimes,
		this.staticOffsets,
		this.tokens,
		this.days,
		this.dayOffsets,
		this.times,
		this.timeOffsets,
		this.events,
		this.eventOffsets,
	];
	readonly #subjects = new GrowingInt32();
	readonly #birthDays = new GrowingInt32();
	readonly #births = new GrowingInt32();

	get patients(): number {
		return this.#births.length;
	}

	/** Tokens of the batch so far, demographics included. */
	get size(): number {
		return this.tokens.values.length + this.staticTokens.values.length;
	}

	/** Ends the current patient; the last entries of offsets are added here. */
	endPatient(subjectLow: number, subjectHigh: number, birthDay: EpochDay | null, events: number): void {
		this.staticOffsets.values.push(this.staticTokens.length);
		this.dayOffsets.values.push(this.tokens.length);
		this.timeOffsets.values.push(this.tokens.length);
		this.eventOffsets.values.push(events);
		for (const list of this.#lists) list.endPatient();
		this.#subjects.pushPair(subjectLow, subjectHigh);
		this.#birthDays.push(birthDay ?? 0);
		this.#births.push(birthDay === null ? 0 : 1);
	}

	/** The patients as a record batch; the columns are empty afterwards. */
	take(): RecordBatch {
		const length = this.patients;
		const [statics, staticTimes, staticOffsets, ...rest] = this.#lists.map((list) => list.data());
		const children = [
			makeData({ type: new Int64(), data: this.#subjects.int64s() }),
			statics!,
			staticTimes!,
			staticOffsets!,
			this.#birthDayData(),
			...rest,
		];
		for (const list of [...this.#lists, this.#subjects, this.#birthDays, this.#births]) list.clear();
		const data = makeData({ type: new Struct(timelineSchema.fields), length, nullCount: 0, children });
		return new RecordBatch(timelineSchema, data);
	}

	#birthDayData(): Data {
		const length = this.patients;
		const births = this.#births.items;
		const nullBitmap = new Uint8Array(Math.ceil(length / 8));
		let nullCount = 0;
		for (let i = 0; i < length; i++) {
			if (births[i] === 1) nullBitmap[i >> 3]! |= 1 << (i & 7);
			else nullCount++;
		}
		return makeData({ type: new Int32(), length, nullCount, nullBitmap, data: this.#birthDays.int32s() });
	}
}

/** Row `row` of a record batch; the arrays are copies, so that the batch can be freed. */
export function timelineAt(batch: RecordBatch, row: number): Timeline {
	const column = (name: string): Vector => batch.getChild(name)!;
	const int32s = (name: string) => Int32Array.from((column(name).get(row) as Vector<Int32>).toArray());
	const int64s = (name: string) => BigInt64Array.from((column(name).get(row) as Vector<Int64>).toArray());
	return {
		subjectId: column('subject_id').get(row) as bigint,
		staticTokens: int32s('static_tokens'),
		staticTimes: int64s('static_times'),
		staticOffsets: int32s('static_offsets'),
		birthDay: column('birth_day').get(row) as number | null,
		tokens: int32s('tokens'),
		days: int32s('days'),
		dayOffsets: int32s('day_offsets'),
		times: int64s('times'),
		timeOffsets: int32s('time_offsets'),
		events: int32s('events'),
		eventOffsets: int32s('event_offsets'),
	};
}
