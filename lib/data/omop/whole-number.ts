// A double holds every whole number below it, and not every one above.
const doubleLimit = '9007199254740992';
const floatLimit = '16777216';

/**
 * SQL: a column as BIGINT, exactly. Ids that went through pandas or R come as `444239.0` or `1e+05` and are read; null where
 * there is a fraction, or a number so large that a float has rounded it.
 *
 * @param type - Of DuckDB.
 */
export function wholeNumberSql(column: string, type: string): string {
	if (type === 'VARCHAR') {
		const text = `trim(${column})`;
		const number = `TRY_CAST(${text} AS DOUBLE)`;
		return `CASE WHEN NOT regexp_matches(${column}, '[.eE_xX]') THEN TRY_CAST(${text} AS BIGINT)
			WHEN regexp_full_match(${text}, '[+-]?[0-9]+[.]0*') AND abs(${number}) < ${doubleLimit}
				THEN TRY_CAST(split_part(${text}, '.', 1) AS BIGINT)
			WHEN regexp_full_match(${text}, '[+-]?[0-9]([.][0-9]{1,14})?[eE][+-]?[0-9]{1,2}') AND ${wholeBelow(number, doubleLimit)}
				THEN TRY_CAST(${number} AS BIGINT) END`;
	}
	if (type === 'DOUBLE') return `CASE WHEN ${wholeBelow(column, doubleLimit)} THEN TRY_CAST(${column} AS BIGINT) END`;
	if (type === 'FLOAT') return `CASE WHEN ${wholeBelow(column, floatLimit)} THEN TRY_CAST(${column} AS BIGINT) END`;
	if (type.startsWith('DECIMAL'))
		return `CASE WHEN ${column} = trunc(${column}) THEN TRY_CAST(${column} AS BIGINT) END`;
	return `TRY_CAST(${column} AS BIGINT)`;
}

function wholeBelow(number: string, limit: string): string {
	return `isfinite(${number}) AND abs(${number}) < ${limit} AND ${number} = trunc(${number})`;
}
