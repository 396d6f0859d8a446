import type { LifeCodes } from '../data/life-codes.js';
import { splitsFile } from '../data/read-splits.js';
import type { SplitSource } from '../data/splits.js';
import { DataError, VocabularyError } from '../errors.js';
import type { StoreManifest } from '../store/manifest.js';
import type { Vocabulary } from '../tokenizer/vocabulary.js';
import { prefixRows } from './summary.js';
import type { Survey } from './survey.js';

/** Refuses a vocabulary of other data that does not know these. @throws {VocabularyError} */
export function requireCoverage(
	vocabulary: Vocabulary,
	{ codes, events }: Survey,
	maxUnknown: number,
	lifeCodes: LifeCodes,
): void {
	const rows = prefixRows(codes, events, { vocabulary, lifeCodes });
	const total = events.reduce((sum, count) => sum + count, 0);
	const unknown = codes.reduce(
		(sum, code, i) => sum + (vocabulary.codeToken(code).match === 'unknown' ? events[i]! : 0),
		0,
	);
	const share = unknown / Math.max(1, total);
	if (share <= maxUnknown) return;
	const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
	const worst = rows
		.filter((row) => row.unknown! > 0)
		.sort((a, b) => b.unknown! - a.unknown!)
		.slice(0, 5)
		.map((row) => `${row.prefix} ${percent(row.unknown! / row.events)} of ${row.events}`);
	throw new VocabularyError(
		`[prepare] codes must be known to the vocabulary for all but ${(100 * maxUnknown).toFixed(0)} % of the events but ${percent(share)} are unknown (${worst.join('; ')}); ` +
			`it was fitted on "${vocabulary.file.dataset}" (ETL ${vocabulary.file.etl.name} ${vocabulary.file.etl.version}). Fit one on this data set, or raise maxUnknown`,
	);
}

/** A store that nothing could be learned from: every event became an age, or was left out. */
export function noTokens({ coverage, splits }: StoreManifest): DataError {
	const reasons =
		coverage.kind === 'structured'
			? `${coverage.births} births kept as age`
			: Object.entries(coverage.dropped)
					.filter(([, count]) => count > 0)
					.map(([reason, count]) => `${count} left out as ${reason}`)
					.join(', ');
	return new DataError('prepare', {
		file: 'data',
		rule: 'must give at least one token of a subject in train',
		value: `0 tokens of ${splits.train.events} events (of all splits: ${reasons})`,
		fix: 'give events beside births, or for text a serialiser that writes these codes',
	});
}

export function noTraining(source: SplitSource): DataError {
	return new DataError('prepare', {
		file: source === 'file' ? splitsFile : 'data',
		rule: 'must put at least one subject with events in train',
		value: 'none',
		...(source === 'hash'
			? { fix: `there are too few subjects to split them by a hash: write ${splitsFile}` }
			: source === 'folders'
				? { fix: `give data/train/ subjects with events, or write ${splitsFile}` }
				: {}),
	});
}
