import type { DuckDBVarCharVector } from '@duckdb/node-api';
import { readDescriptions } from '../data/code-descriptions.js';
import {
	checkOneFilePerSubject,
	type EventBlock,
	type EventPart,
	type EventSource,
	type NameKind,
	readPart,
} from '../data/event-parts.js';
import type { LifeCodes } from '../data/life-codes.js';
import type { Database } from '../data/query.js';
import { heldOutInTrain } from '../data/read-splits.js';
import { int64, type SubjectSplits } from '../data/subject-splits.js';
import { DataError } from '../errors.js';
import type { TimelineColumns } from '../store/timeline-columns.js';
import { Serialiser } from '../text/serialiser.js';
import type { TextEvent } from '../text/text-event.js';
import { QwenTokenizer } from '../tokenizer/qwen-tokenizer.js';
import { Vocabulary } from '../tokenizer/vocabulary.js';
import { type Split, splits } from '../types.js';
import { type BirthCounts, BirthDay } from './birth-day.js';
import { epochDay, isBefore, staticHigh } from './event-time.js';
import { type PartSummary, PartWriter } from './part-files.js';
import type { TokenisePlan } from './prepare-tasks.js';
import { StructuredBuilder } from './structured-builder.js';
import { TextBuilder } from './text-builder.js';

const heldOut = splits.indexOf('held_out');

type Names = Readonly<Record<NameKind, readonly string[]>>;

/** Receives the events of one patient after another. */
interface PatientTokeniser {
	event(columns: TimelineColumns, block: EventBlock, row: number): void;
	endPatient(columns: TimelineColumns, low: number, high: number): void;
	/** What became of all events so far. */
	counts(): PartSummary['counts'];
	/** Of the patients so far. */
	readonly births: BirthCounts;
}

/** Turns parts into files of the store. */
export class PartTokeniser {
	readonly #database: Database;
	readonly #source: EventSource;
	readonly #splits: SubjectSplits;
	/** Made anew for each part, so that a part's counts are its own. */
	readonly #patients: () => PatientTokeniser;
	readonly #plan: TokenisePlan;

	private constructor(
		database: Database,
		source: EventSource,
		subjectSplits: SubjectSplits,
		plan: TokenisePlan,
		patients: () => PatientTokeniser,
	) {
		this.#database = database;
		this.#source = source;
		this.#splits = subjectSplits;
		this.#plan = plan;
		this.#patients = patients;
	}

	static async create(
		database: Database,
		source: EventSource,
		names: Names,
		subjectSplits: SubjectSplits,
		plan: TokenisePlan,
		lifeCodes: LifeCodes,
	): Promise<PartTokeniser> {
		if (plan.kind === 'structured') {
			const vocabulary = new Vocabulary(plan.vocabulary);
			const make = () => new StructuredPatients(new StructuredBuilder(vocabulary, names, lifeCodes));
			return new PartTokeniser(database, source, subjectSplits, plan, make);
		}
		const { directory, contents } = plan.tokenizer;
		const tokenizer = new QwenTokenizer(
			{
				directory,
				contents: new Map(contents.map(([name, memory]) => [name, Buffer.from(memory)])),
			},
			{ checked: true },
		);
		const descriptions = await readDescriptions(database, plan.descriptions);
		const described = names.code.map((code) => descriptions.get(code));
		const make = () => {
			const builder = new TextBuilder(
				new Serialiser(plan.serialiser, lifeCodes),
				{
					encode: (text) => tokenizer.encode(text, plan.specialTokens),
					specialTokensIn: (text) => tokenizer.specialTokensIn(text),
				},
				names.code.length,
			);
			return new TextPatients(builder, names, described, lifeCodes);
		};
		return new PartTokeniser(database, source, subjectSplits, plan, make);
	}

	/** @throws {DataError} For times that go backwards, a subject in two files, and a held-out subject in data/train/. */
	async write(
		folder: string,
		number: number,
		part: EventPart,
		onProgress: (events: number) => void,
		signal: AbortSignal,
	): Promise<void> {
		const writer = new PartWriter(folder, number);
		try {
			await writer.finish(await this.#tokenise(writer, part, onProgress, signal));
		} catch (cause) {
			await writer.abandon();
			throw cause;
		}
	}

	async #tokenise(
		writer: PartWriter,
		part: EventPart,
		onProgress: (events: number) => void,
		signal: AbortSignal,
	): Promise<PartSummary> {
		await checkOneFilePerSubject(this.#database, this.#source, part);
		const patients = this.#patients();
		const isText = this.#plan.kind === 'text';
		const fields = { times: true, texts: isText, tables: isText };
		const events: Record<Split, number> = { train: 0, tuning: 0, held_out: 0 };
		let [outsideEvents, outsideSubjects] = [0, 0];
		let [low, high] = [0, 0];
		let [timeLow, timeHigh] = [0, staticHigh];
		/** Index of the patient's split; -1: in none, -2: no patient yet. */
		let place = -2;
		let columns: TimelineColumns | undefined;
		const end = () => {
			if (columns === undefined) return;
			patients.endPatient(columns, low, high);
			writer.patientEnded(place, low, high, columns.tokens.lastLength, columns.days.lastLength);
		};
		for await (const block of readPart(this.#database, this.#source, part, fields, signal)) {
			const { subjects, times } = block;
			for (let row = 0; row < block.count; row++) {
				const rowLow = subjects[2 * row]!;
				const rowHigh = subjects[2 * row + 1]!;
				if (rowLow !== low || rowHigh !== high || place === -2) {
					end();
					low = rowLow;
					high = rowHigh;
					timeHigh = staticHigh;
					timeLow = 0;
					place = this.#splits.placeOf(low, high);
					if (part.folder === 'train' && place === heldOut) throw heldOutInTrain(`subject ${int64(low, high)}`);
					columns = place < 0 ? undefined : writer.columns(place);
					if (place < 0) outsideSubjects++;
				}
				const rowTimeLow = times[2 * row]!;
				const rowTimeHigh = times[2 * row + 1]!;
				if (rowTimeHigh !== staticHigh) {
					if (isBefore(rowTimeLow, rowTimeHigh, timeLow, timeHigh)) throw backwards(part, int64(low, high));
					timeLow = rowTimeLow;
					timeHigh = rowTimeHigh;
				}
				if (columns === undefined) {
					outsideEvents++;
					continue;
				}
				events[splits[place]!]++;
				patients.event(columns, block, row);
			}
			onProgress(block.count);
		}
		end();
		return { outsideEvents, outsideSubjects, events, births: patients.births, counts: patients.counts() };
	}
}

class StructuredPatients implements PatientTokeniser {
	readonly #builder: StructuredBuilder;

	constructor(builder: StructuredBuilder) {
		this.#builder = builder;
	}

	event(columns: TimelineColumns, { times, codes, values, units }: EventBlock, row: number): void {
		const unit = units === undefined ? -1 : units[row]!;
		this.#builder.event(columns, times[2 * row]!, times[2 * row + 1]!, codes[row]!, values[row]!, unit);
	}

	endPatient(columns: TimelineColumns, low: number, high: number): void {
		this.#builder.endPatient(columns, low, high);
	}

	counts(): PartSummary['counts'] {
		return this.#builder.counts();
	}

	get births(): BirthCounts {
		return this.#builder.births;
	}
}

class TextPatients implements PatientTokeniser {
	readonly #builder: TextBuilder;
	readonly #names: Names;
	readonly #descriptions: readonly (string | undefined)[];
	readonly #isBirth: readonly boolean[];
	readonly #births = new BirthDay();
	#events: TextEvent[] = [];

	constructor(builder: TextBuilder, names: Names, descriptions: readonly (string | undefined)[], lifeCodes: LifeCodes) {
		this.#builder = builder;
		this.#names = names;
		this.#descriptions = descriptions;
		this.#isBirth = names.code.map((code) => lifeCodes.isBirth(code));
	}

	event(_columns: TimelineColumns, { times, codes, values, units, tables, texts }: EventBlock, row: number): void {
		const [low, high] = [times[2 * row]!, times[2 * row + 1]!];
		const code = codes[row]!;
		const isStatic = high === staticHigh;
		if (this.#isBirth[code] && !isStatic) this.#births.add(epochDay(low, high));
		this.#builder.countCode(code);
		const value = values[row]!;
		this.#events.push({
			time: isStatic ? null : int64(low, high),
			code: this.#names.code[code]!,
			description: this.#descriptions[code],
			numericValue: Number.isNaN(value) ? undefined : value,
			textValue: textOf(texts, row),
			unit: units === undefined || units[row]! < 0 ? undefined : this.#names.unit[units[row]!],
			table: tables === undefined || tables[row]! < 0 ? undefined : this.#names.table[tables[row]!],
		});
	}

	endPatient(columns: TimelineColumns, low: number, high: number): void {
		this.#builder.patient(columns, this.#events, low, high, this.#births.take());
		this.#events = [];
	}

	counts(): PartSummary['counts'] {
		return this.#builder.counts();
	}

	get births(): BirthCounts {
		return this.#births.counts;
	}
}

function textOf(texts: DuckDBVarCharVector | undefined, row: number): string | undefined {
	return texts?.getItem(row) ?? undefined;
}

function fileOf({ files }: EventPart): string {
	return files.length === 1 ? files[0]! : `${files[0]} to ${files.at(-1)}`;
}

function backwards(part: EventPart, subject: bigint): DataError {
	return new DataError('meds', {
		file: fileOf(part),
		column: 'time',
		rule: 'must not go backwards within a subject',
		value: `subject ${subject}`,
		fix: 'sort each file by subject_id and time',
	});
}
