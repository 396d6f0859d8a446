import { DataError } from '../errors.js';
import { type IndexDateRow, sampleKey } from '../tasks/read.js';
import type { IndexDate } from '../types.js';
import type { StatesRead } from './evaluation-file.js';
import type { Provenance } from './provenance.js';

/**
 * Compares the samples of a file of states with the index dates that it is read for.
 *
 * @param samples - Each occurs once.
 * @param source - What the file says it was made from; such a file holds each index date but those it says it left out.
 * @throws {DataError} When rows are missing, or none or others than the index dates are there.
 */
export function stateCoverage(
	file: string,
	samples: readonly IndexDate[],
	indexDates: readonly IndexDateRow[],
	source: Provenance | undefined,
): StatesRead {
	const wanted = new Set(indexDates.map(sampleKey));
	const rows = samples.filter((sample) => wanted.has(sampleKey(sample))).length;
	const [otherRows, withoutState] = [samples.length - rows, indexDates.length - rows];
	const refuse = (rule: string, value: string): never => {
		throw new DataError('evaluate', {
			file,
			rule,
			value,
			fix: 'embed the index dates of these tasks again',
		});
	};
	if (rows === 0) refuse(`must hold states at the ${indexDates.length} index dates of the tasks`, 'none of them');
	if (source !== undefined) {
		if (otherRows > 0) refuse('must hold states at the index dates alone', `${otherRows} other rows`);
		const expected = indexDates.length - Number(source.index_dates_without_tokens);
		if (rows !== expected) refuse(`must hold the ${expected} rows that were written`, `${rows}, so rows are missing`);
	}
	return {
		rows,
		withoutState,
		otherRows,
		source:
			source === undefined
				? null
				: {
						run: source.run,
						step: source.step,
						store: source.store,
						pooling: source.pooling ?? null,
						encoder: source.encoder ?? null,
						contextTokens: Number(source.context_tokens),
					},
	};
}

/** What to know of the states of a model; undefined when each index date has one and the file says where they come from. */
export function coverageNote(model: string, { withoutState, otherRows, source }: StatesRead): string | undefined {
	const parts = [
		...(withoutState > 0 ? [`${withoutState} index dates have no state: no model is read on them`] : []),
		...(otherRows > 0 ? [`${otherRows} rows are at no index date and are not read`] : []),
		...(source === null
			? ['the file does not say what it was made from, so nobody can tell whether it belongs here']
			: []),
	];
	return parts.length === 0 ? undefined : `${model}: ${parts.join('; ')}`;
}
