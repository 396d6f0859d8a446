import { createHash } from 'node:crypto';
import { type EmbeddedStates, embed, type StatesDtype, writeEmbeddings } from '../evaluate/embeddings.js';
import { requireSameSource } from '../evaluate/provenance.js';
import { rollout, rolloutTarget } from '../evaluate/rollout.js';
import { writeRollout } from '../evaluate/rollout-file.js';
import type { OnDevice } from '../model/device.js';
import type { HiddenStates } from '../model/hidden-states.js';
import { beyondPositions } from '../model/positions.js';
import type { EncoderChoice, Pooling } from '../model/world-model.js';
import { alone, type WorkDivision } from '../ranks/work-division.js';
import { hideCodes } from '../sample/hidden-codes.js';
import type { TokenStore } from '../store/token-store.js';
import { hiddenCodesFingerprint, type TaskFolder } from '../tasks/read.js';
import { openModel, type RunWeights, requireSameData, requireSameSplits } from '../train/open-model.js';
import type { LongOperation } from '../types.js';

export interface EmbedRunOptions extends LongOperation, OnDevice {
	/** `initial` for the encoder that the run started from, or the step of a checkpoint; absent: the newest. */
	readonly weights?: RunWeights | undefined;
	readonly pooling: Pooling;
	/** Which hidden states, one after another; absent: `last`. */
	readonly layers?: HiddenStates | undefined;
	/** Of the file of states; absent: float32. */
	readonly dtype?: StatesDtype | undefined;
	readonly encoder?: EncoderChoice | undefined;
	/** Tokens of history; absent: those of training. */
	readonly contextTokens?: number | undefined;
	/** Also write the predicted states of a run whose predictor maps (state, time ahead): path of that file. */
	readonly rollout?: string | undefined;
	/** Among processes that make the file together; absent: this one alone. */
	readonly division?: WorkDivision | undefined;
}

export interface EmbeddedRun {
	readonly table: EmbeddedStates;
	/** What the file says of itself in its key-value pairs. */
	readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Writes the frozen states of a run at index dates. The file says what it was made from, the same whichever command made
 * it and wherever the run lies. Events of the task folder's hidden codes are not seen.
 *
 * @throws {CheckpointError} When run and store have other vocabularies or splits. {DataError} When store and tasks are of
 * other data. {AbortedError} {NativeError} {OutputError}
 */
export async function embedRun(
	file: string,
	run: string,
	store: TokenStore,
	{ list, indexDates }: TaskFolder,
	options: EmbedRunOptions,
): Promise<EmbeddedRun> {
	requireSameSource(store.directory, store.manifest, list, 'embed');
	const { pooling, encoder = 'encoder', layers = 'last', signal, onProgress, onWarning, division = alone } = options;
	const { model, run: opened, step } = await openModel(run, { weights: options.weights, device: options.device });
	try {
		const { config } = opened;
		requireSameData(config, store, 'vocabulary');
		requireSameSplits(config, store);
		const contextTokens = options.contextTokens ?? config.train.contextTokens;
		const beyond = await beyondPositions(config.train.initialWeights, contextTokens);
		if (beyond !== undefined) onWarning?.(beyond);
		const about = {
			// The configuration, data and step of a run decide its weights.
			run: createHash('sha256').update(JSON.stringify(config)).digest('hex'),
			step: String(step),
			context_tokens: String(contextTokens),
			store: store.manifest.fingerprint,
			data: list.dataFingerprint,
			splits: list.splitting.fingerprint,
			index_dates: list.indexDatesFingerprint,
			hidden_codes: hiddenCodesFingerprint(list.hiddenCodes),
		};
		const seen = hideCodes(store, list.hiddenCodes);
		await division.begin({ ...about, pooling, encoder, layers, rollout: options.rollout !== undefined });
		const operation = { signal, onProgress, contextTokens, division };
		const states =
			options.rollout === undefined
				? undefined
				: await rollout(model, seen, indexDates, { ...operation, ...rolloutTarget(config.train.objective) });
		const table = await embed(model, seen, indexDates, { ...operation, pooling, encoder, layers });
		const { withoutTokens, laterRuns } = table.counts;
		if (withoutTokens > 0) {
			onWarning?.(
				`${withoutTokens} index dates have no token (an unknown subject, or nothing is known yet) and no state`,
			);
		}
		const metadata = {
			...about,
			pooling,
			encoder,
			layers: String(layers),
			index_dates_without_tokens: String(withoutTokens),
			later_runs_left_out: String(laterRuns),
		};
		if (!division.writes) return { table, metadata };
		await writeEmbeddings(file, table, metadata, options.dtype);
		if (options.rollout !== undefined && states !== undefined)
			await writeRollout(options.rollout, states, {
				...about,
				index_dates_without_tokens: String(indexDates.length - states.samples.length),
			});
		return { table, metadata };
	} finally {
		await model.close();
	}
}
