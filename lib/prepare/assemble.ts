import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type BirthCandidate, withoutBirthNote } from '../data/birth-candidates.js';
import { subjectApart } from '../data/check-events.js';
import type { LifeCodes } from '../data/life-codes.js';
import type { MedsFiles } from '../data/meds.js';
import { type SplitSource, splitsFingerprint } from '../data/splits.js';
import { int64 } from '../data/subject-splits.js';
import { sha256 } from '../files/hash.js';
import { keepOnly } from '../files/partial.js';
import { writeWhole } from '../files/whole.js';
import { packageVersion } from '../package-version.js';
import { dataFileName } from '../store/data-file-name.js';
import type { StoreManifest } from '../store/manifest.js';
import { type IndexColumns, indexFile } from '../store/store-index.js';
import { addTextCounts, emptyTextCounts } from '../text/text-counts.js';
import type { TextVocabulary } from '../tokenizer/text-vocabulary.js';
import type { Vocabulary } from '../tokenizer/vocabulary.js';
import { type CohortFlowRow, type Split, splits } from '../types.js';
import { indexWords, type PartSummary, readPartSummary } from './part-files.js';
import { addSparse } from './sparse-counts.js';
import { addCodeCounts, emptyCodeCounts } from './structured-builder.js';
import { prefixRows, splitCounts, structuredCoverage, sum, topCodes, topCounts } from './summary.js';

export interface AssembleInput {
	readonly folder: string;
	readonly dataset: MedsFiles;
	readonly vocabulary: Vocabulary | TextVocabulary;
	/** How many there are. */
	readonly parts: number;
	readonly codes: readonly string[];
	readonly textOnly: number;
	readonly splitSource: SplitSource;
	readonly lifeCodes: LifeCodes;
	/** Codes that may be a birth; asked for when patients have none. */
	readonly birthCandidates: () => Promise<readonly BirthCandidate[]>;
	/** Subjects that the splits name; undefined when a hash decides. */
	readonly subjectsNamed: number | undefined;
	readonly notes: readonly string[];
}

/** Makes a store of parts that are whole: writes the index of each split and returns the manifest. */
export async function assembleStore(input: AssembleInput): Promise<StoreManifest> {
	const { folder, dataset, vocabulary, codes } = input;
	const summaries: PartSummary[] = [];
	const patients = splits.map(() => 0);
	const indexes: Int32Array[] = [];
	for (let part = 0; part < input.parts; part++) {
		const { summary, index } = (await readPartSummary(folder, part))!;
		summaries.push(summary);
		indexes.push(index);
		for (let at = 0; at < index.length; at += indexWords) patients[index[at]!]!++;
	}
	const subjects = {} as Record<Split, BigInt64Array>;
	const written = {} as Record<(typeof splits)[number], ReturnType<typeof splitCounts>>;
	for (const [place, split] of splits.entries()) {
		const columns = sortedIndex(indexes, place, patients[place]!);
		subjects[split] = columns.subjectIds;
		await writeWhole(join(folder, `${split}.index.arrow`), indexFile(columns));
		const used = new Set(columns.files);
		await keepOnly(join(folder, split), new Set([...used].map(dataFileName)));
		written[split] = splitCounts(
			columns,
			summaries.reduce((total, { events }) => total + events[split], 0),
		);
		await setImmediate();
	}
	await rm(join(folder, 'fitted.json'), { force: true });
	const { coverage, prefixes, events } = coverageOf(input, summaries);
	const outside = {
		events: summaries.reduce((total, { outsideEvents }) => total + outsideEvents, 0),
		subjects: summaries.reduce((total, { outsideSubjects }) => total + outsideSubjects, 0),
	};
	const stored = splits.reduce((total, split) => total + written[split].patients, 0);
	const notes = [...input.notes];
	if (outside.subjects > 0) notes.push(`${outside.subjects} subjects with events are in no split and are left out`);
	if (vocabulary.kind === 'text') notes.push(...textNotes(vocabulary, coverage));
	for (const split of splits)
		if (written[split].patients === 0) notes.push(`split ${split} has no subject with events`);
	if (input.subjectsNamed !== undefined && input.subjectsNamed > stored)
		notes.push(`${input.subjectsNamed - stored} subjects of subject_splits.parquet have no events`);
	const splitting = { source: input.splitSource, fingerprint: splitsFingerprint(subjects) };
	const births = await birthsOf(input, summaries, stored, notes);
	return {
		format: 'ehr-jepa/token-store',
		version: 3,
		package: packageVersion,
		dataset: { name: dataset.name, fingerprint: dataset.fingerprint, etl: dataset.etl },
		vocabulary: { kind: vocabulary.kind, fingerprint: vocabulary.fingerprint, size: vocabulary.size },
		fingerprint: sha256(`${dataset.fingerprint}\0${splitting.fingerprint}\0${vocabulary.fingerprint}`),
		splitting,
		births,
		splits: written,
		coverage,
		prefixes,
		topCodes: topCodes(codes, events),
		cohortFlow: cohortFlow(written, coverage, outside),
		notes,
	};
}

/** Whose age is unknown, and what their birth may be called. */
async function birthsOf(
	{ lifeCodes, codes, birthCandidates }: AssembleInput,
	summaries: readonly PartSummary[],
	stored: number,
	notes: string[],
): Promise<StoreManifest['births']> {
	const without = summaries.reduce((total, { births }) => total + births.without, 0);
	const several = summaries.reduce((total, { births }) => total + births.several, 0);
	if (without > 0) notes.push(withoutBirthNote(without, stored, await birthCandidates()));
	if (several > 0) notes.push(`${several} subjects have births on several days; the first is taken`);
	return {
		birthCodes: codes.filter((code) => lifeCodes.isBirth(code)),
		deathCodes: codes.filter((code) => lifeCodes.isDeath(code)),
		given: lifeCodes.given,
		patientsWithout: without,
		patientsWithSeveral: several,
	};
}

function textNotes({ file }: TextVocabulary, coverage: StoreManifest['coverage']): string[] {
	const notes: string[] = [];
	const written = coverage.kind === 'text' ? (coverage.specialTokens ?? 0) : 0;
	if (written > 0)
		notes.push(
			`${written} special tokens of the tokenizer are written in the records: they are ${file.specialTokens === 'ids' ? 'their ids, as --special-tokens ids asks' : 'ordinary text; --special-tokens ids makes them ids'}`,
		);
	if (file.maskTokenId === null)
		notes.push(
			`the embedding of ${file.size} rows has none to spare for a mask token: enough for training by next tokens, not for the latent loss; --vocab-size names more rows, for a model that has them`,
		);
	return notes;
}

/** Patients of a split by subject_id, out of the indexes of the parts. */
function sortedIndex(indexes: readonly Int32Array[], place: number, count: number): IndexColumns {
	const columns = {
		subjectIds: new BigInt64Array(count),
		files: new Int32Array(count),
		batches: new Int32Array(count),
		rows: new Int32Array(count),
		tokens: new Int32Array(count),
		days: new Int32Array(count),
	};
	let row = 0;
	let isSorted = true;
	for (const [part, index] of indexes.entries()) {
		for (let at = 0; at < index.length; at += indexWords) {
			if (index[at] !== place) continue;
			columns.subjectIds[row] = int64(index[at + 1]!, index[at + 2]!);
			columns.files[row] = part;
			columns.batches[row] = index[at + 3]!;
			columns.rows[row] = index[at + 4]!;
			columns.tokens[row] = index[at + 5]!;
			columns.days[row] = index[at + 6]!;
			if (row > 0 && columns.subjectIds[row]! <= columns.subjectIds[row - 1]!) isSorted = false;
			row++;
		}
	}
	return isSorted ? columns : sortedBySubject(columns);
}

/** @throws {DataError} For a subject in two places. */
function sortedBySubject(columns: IndexColumns): IndexColumns {
	const { subjectIds } = columns;
	const order = Uint32Array.from(subjectIds.keys()).sort((a, b) =>
		subjectIds[a]! < subjectIds[b]! ? -1 : Number(subjectIds[a]! > subjectIds[b]!),
	);
	for (let i = 1; i < order.length; i++) {
		if (subjectIds[order[i]!] !== subjectIds[order[i - 1]!]) continue;
		throw subjectApart('data', `subject ${subjectIds[order[i]!]} in separate places`);
	}
	const sorted = (column: Int32Array) => Int32Array.from(order, (row) => column[row]!);
	return {
		subjectIds: BigInt64Array.from(order, (row) => subjectIds[row]!),
		files: sorted(columns.files),
		batches: sorted(columns.batches),
		rows: sorted(columns.rows),
		tokens: sorted(columns.tokens),
		days: sorted(columns.days),
	};
}

function coverageOf(
	{ vocabulary, codes, textOnly, lifeCodes }: AssembleInput,
	summaries: readonly PartSummary[],
): Pick<StoreManifest, 'coverage' | 'prefixes'> & { readonly events: Float64Array } {
	if (vocabulary.kind === 'structured') {
		const counts = emptyCodeCounts(codes.length);
		for (const part of summaries) if (part.counts.kind === 'structured') addCodeCounts(counts, part.counts);
		return {
			coverage: structuredCoverage(vocabulary, codes, counts, textOnly, lifeCodes),
			prefixes: prefixRows(codes, counts.events, { vocabulary, lifeCodes, counts }),
			events: counts.events,
		};
	}
	const total = emptyTextCounts();
	const events = new Float64Array(codes.length);
	let specialTokens = 0;
	for (const { counts } of summaries) {
		if (counts.kind !== 'text') continue;
		specialTokens += counts.specialTokens;
		addTextCounts(total, {
			...counts,
			unmappedCodes: new Map(counts.unmappedCodes),
			unmappedTables: new Map(counts.unmappedTables),
		});
		addSparse(events, counts.byCode);
	}
	return {
		coverage: {
			kind: 'text',
			events: sum(events),
			written: total.written,
			dropped: total.dropped,
			categories: total.categories,
			fromTable: total.fromTable,
			fromCode: total.fromCode,
			mixedUnits: total.mixedUnits,
			...(specialTokens === 0 ? {} : { specialTokens }),
			unmappedCodes: topCounts(total.unmappedCodes),
			unmappedTables: topCounts(total.unmappedTables),
		},
		prefixes: prefixRows(codes, events),
		events,
	};
}

function cohortFlow(
	counts: StoreManifest['splits'],
	coverage: StoreManifest['coverage'],
	outside: { readonly events: number; readonly subjects: number },
): CohortFlowRow[] {
	const all = Object.values(counts);
	const total = (key: 'patients' | 'trainable' | 'events' | 'tokens') =>
		all.reduce((result, split) => result + split[key], 0);
	return [
		{
			stage: 'MEDS data set',
			patients: total('patients') + outside.subjects,
			events: total('events') + outside.events,
			...(outside.subjects > 0
				? { note: `${outside.events} events of ${outside.subjects} subjects in no split are left out` }
				: {}),
		},
		{
			stage: 'tokenised',
			patients: total('patients'),
			events: total('events'),
			tokens: total('tokens'),
			note: coverageNote(coverage),
		},
		...splits.map((split) => ({
			stage: `split ${split}`,
			patients: counts[split].patients,
			events: counts[split].events,
			tokens: counts[split].tokens,
		})),
		{
			stage: 'trainable (train, at least 2 days)',
			patients: counts.train.trainable,
			note: `${counts.train.patients - counts.train.trainable} patients with a single day cannot be cut`,
		},
	];
}

function coverageNote(coverage: StoreManifest['coverage']): string {
	if (coverage.kind === 'structured') {
		const otherUnit =
			coverage.valuesInOtherUnit > 0
				? `, ${coverage.valuesInOtherUnit} values in another unit than usual not binned`
				: '';
		return `${coverage.backed_off} events written as a code group, ${coverage.unknown} as [UNK], ${coverage.valuesWithoutBin} values without a bin${otherUnit}, ${coverage.births} births kept as age`;
	}
	const reasons = Object.entries(coverage.dropped).filter(([, count]) => count > 0);
	const dropped = reasons.map(([reason, count]) => `${count} ${reason}`).join(', ');
	return `${coverage.written} events written${dropped === '' ? '' : `, left out: ${dropped}`}`;
}
