/**
 * Words that R, pandas, spreadsheets and databases write where nothing is. As a code, a unit or a text they would stand for
 * a missing value; they are read as none, and counted.
 */
const missingWords = ['NA', 'N/A', 'n/a', '#N/A', '<NA>', 'NULL', 'null', '\\N', 'NaT'] as const;
/** In a column of numbers these are numbers that are not finite, which is counted apart. */
const missingNumbers = ['NaN', 'nan'] as const;

/** SQL: whether a text is one of them, blanks aside. */
export function isMissingWordSql(text: string, ofNumbers = false): string {
	const words = ofNumbers ? missingWords : [...missingWords, ...missingNumbers];
	return `trim(${text}) IN (${words.map((word) => `'${word}'`).join(', ')})`;
}

/** SQL: whether a text is blanks alone, of any kind. */
export function isBlankSql(text: string): string {
	return `regexp_full_match(${text}, '[\\s\\x{00A0}]*')`;
}
