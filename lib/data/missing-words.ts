/**
 * Words that R, pandas, spreadsheets and databases write where nothing is. As a code, a unit or a text they would stand for
 * a missing value; they are read as none, and counted.
 */
export const missingWords = ['NA', 'N/A', 'n/a', '#N/A', '<NA>', 'NULL', 'null', '\\N', 'NaT', 'NaN', 'nan'] as const;

/** SQL: whether a text is one of them, blanks aside. */
export function isMissingWordSql(text: string): string {
	return `trim(${text}) IN (${missingWords.map((word) => `'${word}'`).join(', ')})`;
}
