import { editDistance } from './edit-distance.js';

/**
 * Names of columns that are not read though they are nearly those of columns that are: by a letter or two, by blanks or
 * underscores, or by a word at either end (`unit_source`, `value`). A user may expect them to be read.
 *
 * @param known - Names that are read.
 */
export function nearNames(found: readonly string[], known: readonly string[]): string[] {
	return found.filter((name) => !known.includes(name) && known.some((wanted) => isNear(name, wanted, found)));
}

function isNear(found: string, wanted: string, all: readonly string[]): boolean {
	const [a, b] = [words(found), words(wanted)];
	const shorter = `_${b}_`.includes(`_${a}_`) && (b.startsWith(a) || b.endsWith(a));
	// `unit_source` beside `unit`; not what merely begins like a longer name.
	const longer = ['unit', 'time', 'code'].includes(b) && (a.startsWith(`${b}_`) || a.endsWith(`_${b}`));
	if (a === b || shorter || longer || otherWords[b]?.includes(a) === true || isOtherTime(a, b)) return true;
	const [plainA, plainB] = [a.replaceAll('_', ''), b.replaceAll('_', '')];
	if (plainA === plainB) return true;
	// Beside the known one it is another column: visit_id, visit_id2.
	return !all.includes(wanted) && Math.min(plainA.length, plainB.length) > 5 && editDistance(plainA, plainB) <= 2;
}

/** What other schemas call the columns of MEDS. */
const otherWords: Readonly<Record<string, readonly string[]>> = {
	subject_id: ['person_id', 'patient', 'mrn'],
	code: ['event', 'event_type', 'concept', 'concept_id'],
	numeric_value: ['valuenum', 'value_as_number', 'result'],
	text_value: ['value_as_string', 'note', 'note_text'],
	unit: ['uom', 'valueuom'],
};

const timeWords = ['date', 'datetime', 'time', 'timestamp'];

/** `timestamp` beside `time`; a bare `time`, or `measurement_time`, beside `measurement_datetime`. */
function isOtherTime(found: string, wanted: string): boolean {
	const cut = (name: string) =>
		[name.slice(0, name.lastIndexOf('_') + 1), name.slice(name.lastIndexOf('_') + 1)] as const;
	const [[start, word], [wantedStart, wantedWord]] = [cut(found), cut(wanted)];
	if (!timeWords.includes(word) || !timeWords.includes(wantedWord)) return false;
	return start === '' || start === wantedStart;
}

function words(name: string): string {
	return name
		.trim()
		.toLowerCase()
		.replaceAll(/[^a-z0-9]+/g, '_');
}
