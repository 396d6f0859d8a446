import { type EventPart, type EventSource, partSubjects, readPart } from '../data/event-parts.js';
import type { Database } from '../data/query.js';
import type { SubjectSplits } from '../data/subject-splits.js';
import type { CodeStatistics } from '../tokenizer/code-statistics.js';
import { splits } from '../types.js';

const train = splits.indexOf('train');

/** Adds the training patients of a part to the statistics that a vocabulary is fitted on. */
export async function fitPart(
	database: Database,
	source: EventSource,
	subjectSplits: SubjectSplits,
	part: EventPart,
	statistics: CodeStatistics,
	onProgress: (events: number) => void,
	signal: AbortSignal,
): Promise<void> {
	if (!(await hasTraining(database, source, subjectSplits, part))) return onProgress(part.events);
	let [low, high] = [0, 0];
	let first = true;
	let counted = false;
	for await (const { count, subjects, codes, values, units } of readPart(database, source, part, {}, signal)) {
		for (let row = 0; row < count; row++) {
			const rowLow = subjects[2 * row]!;
			const rowHigh = subjects[2 * row + 1]!;
			if (first || rowLow !== low || rowHigh !== high) {
				first = false;
				low = rowLow;
				high = rowHigh;
				counted = subjectSplits.placeOf(low, high) === train;
				if (counted) statistics.nextSubject(low, high);
			}
			const code = codes[row]!;
			if (counted && code >= 0) statistics.add(code, values[row]!, units === undefined ? -1 : units[row]!);
		}
		onProgress(count);
	}
}

/** Reading the subjects alone costs a tenth of reading the events. */
async function hasTraining(
	database: Database,
	source: EventSource,
	subjectSplits: SubjectSplits,
	part: EventPart,
): Promise<boolean> {
	for await (const words of partSubjects(database, source, part)) {
		for (let i = 0; i < words.length; i += 2) {
			if (subjectSplits.placeOf(words[i]!, words[i + 1]!) === train) return true;
		}
	}
	return false;
}
