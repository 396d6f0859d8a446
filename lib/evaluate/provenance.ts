import { z } from 'zod';
import { queryFile } from '../data/query.js';
import { DataError } from '../errors.js';
import { parquetFooters } from '../files/duckdb-files.js';
import type { StoreManifest } from '../store/manifest.js';
import { hiddenCodesFingerprint, type TaskList } from '../tasks/read.js';

/** What states were made from, as the pairs in the footer of their file say it. */
export const Provenance = z.object({
	/** SHA-256 of the run's configuration, and its step: they decide the weights. */
	run: z.string(),
	step: z.string(),
	context_tokens: z.string(),
	/** Fingerprint of the token store. */
	store: z.string(),
	/** Fingerprints of the data set, of its splits and of the index dates. */
	data: z.string(),
	splits: z.string(),
	index_dates: z.string(),
	/** Index dates that have no state, since nothing was known yet. */
	index_dates_without_tokens: z.string(),
	/** Of the codes whose events were hidden; absent in files of before any could be. */
	hidden_codes: z.string().default('none'),
	pooling: z.string().optional(),
	encoder: z.string().optional(),
});
export type Provenance = z.infer<typeof Provenance>;

/** What a file of states says it was made from; undefined when it says nothing, as one from elsewhere. */
export async function readProvenance(path: string): Promise<Provenance | undefined> {
	const rows = await queryFile('evaluate', path, { threads: 1 }, (database) =>
		database.rows(
			`SELECT decode(key) AS key, decode(value) AS value FROM ${parquetFooters('kv_metadata', path)} WHERE decode(key) <> 'ARROW:schema'`,
		),
	);
	const pairs = Object.fromEntries(rows.map(({ key, value }) => [String(key), String(value)]));
	return Provenance.safeParse(pairs).data;
}

/**
 * States are compared with labels and with each other only when they belong to them.
 *
 * @throws {DataError} For states of other data, splits, index dates, or of another token store.
 */
export function requireProvenance(
	file: string,
	found: Provenance,
	tasks: TaskList,
	store: StoreManifest | undefined,
): void {
	const refuse = (rule: string, wanted: string, value: string): never => {
		throw new DataError('evaluate', {
			file,
			rule: `must be made from ${rule} (${wanted.slice(0, 12)})`,
			value: value.slice(0, 12),
			fix: 'embed the index dates of these tasks again',
		});
	};
	const same = (rule: string, wanted: string, value: string) => {
		if (wanted !== value) refuse(rule, wanted, value);
	};
	same('the data set of the tasks', tasks.dataFingerprint, found.data);
	same('the splits of the tasks', tasks.splitting.fingerprint, found.splits);
	same('the index dates of the tasks', tasks.indexDatesFingerprint, found.index_dates);
	same('the hidden codes of the tasks', hiddenCodesFingerprint(tasks.hiddenCodes), found.hidden_codes);
	if (store !== undefined) same('the token store that is named', store.fingerprint, found.store);
}

/** @throws {DataError} When store and tasks do not belong together. */
export function requireSameSource(directory: string, store: StoreManifest, tasks: TaskList, scope: string): void {
	const refuse = (rule: string, wanted: string, value: string, fix: string): never => {
		throw new DataError(scope, { file: directory, rule, value: `${value}, not ${wanted}`, fix });
	};
	const short = (text: string) => text.slice(0, 12);
	if (store.dataset.fingerprint !== tasks.dataFingerprint) {
		refuse(
			'must be made from the data set of the tasks',
			short(tasks.dataFingerprint),
			short(store.dataset.fingerprint),
			'give the store and the tasks of one data set',
		);
	}
	if (store.splitting.fingerprint !== tasks.splitting.fingerprint) {
		refuse(
			'must have the splits of the tasks, or held-out subjects are trained on',
			`${short(tasks.splitting.fingerprint)} (by ${tasks.splitting.source})`,
			`${short(store.splitting.fingerprint)} (by ${store.splitting.source})`,
			'the splits of the data set have changed: run prepare and tasks again',
		);
	}
	const codes = ({ birth = [], death = [] }: TaskList['lifeCodes']) => JSON.stringify([birth, death]);
	if (codes(store.births.given) !== codes(tasks.lifeCodes)) {
		refuse(
			'must have the codes of birth and death of the tasks',
			codes(tasks.lifeCodes),
			codes(store.births.given),
			'give prepare and tasks the same --birth-code and --death-code',
		);
	}
}
