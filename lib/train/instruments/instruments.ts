import { LifeCodes } from '../../data/life-codes.js';
import type { WorldModel } from '../../model/world-model.js';
import type { TokenStore } from '../../store/token-store.js';
import { type TokenKind, tokenKinds } from '../../tokenizer/token-kinds.js';
import type { InstrumentMetrics } from './metrics.js';
import { StateProbe } from './state-probe.js';
import { type ValueReferences, valueReferences } from './value-references.js';
import { ValueReader } from './values.js';
import { drawWindows, type InstrumentWindow, packWindows, type WindowBudgets } from './windows.js';

/** What of a run the instruments depend on. */
export interface InstrumentedRun extends WindowBudgets {
	/** Windows are packed up to this many tokens. */
	readonly tokensPerStep: number;
}

/**
 * Instruments of a training: loss by kind of token, with what simple predictors lose on the same values, and R² of the true
 * state where it is known. They read the futures of a few windows of tuning patients, the same ones every time and for
 * every seed of a run.
 */
export class Instruments {
	readonly #windows: readonly InstrumentWindow[];
	readonly #packed: ReturnType<typeof packWindows>;
	readonly #kinds: readonly TokenKind[] | undefined;
	readonly #references: ValueReferences | undefined;
	readonly #probe: StateProbe | undefined;

	private constructor(
		windows: readonly InstrumentWindow[],
		tokensPerBatch: number,
		kinds: readonly TokenKind[] | undefined,
		references: ValueReferences | undefined,
		probe: StateProbe | undefined,
	) {
		this.#windows = windows;
		this.#packed = packWindows(windows, tokensPerBatch);
		this.#kinds = kinds;
		this.#references = references;
		this.#probe = probe;
	}

	/**
	 * @param tokens - Most that the windows of a reading hold.
	 * @returns Undefined where there is nothing to read: no window fits, or tokens of text and a state that nobody knows.
	 * @throws {DataError} {NativeError}
	 */
	static async open(
		store: TokenStore,
		run: InstrumentedRun,
		model: Pick<WorldModel, 'hiddenSize'>,
		tokens: number,
	): Promise<Instruments | undefined> {
		const { vocabulary, manifest } = store;
		const windows = await drawWindows(store.split('tuning'), vocabulary, run, tokens);
		if (windows.length === 0) return undefined;
		const reader = vocabulary.kind === 'text' ? undefined : new ValueReader(vocabulary);
		const probe = await StateProbe.open(store.directory, windows, model.hiddenSize, reader);
		if (vocabulary.kind === 'text')
			return probe && new Instruments(windows, run.tokensPerStep, undefined, undefined, probe);
		const kinds = tokenKinds(vocabulary, new LifeCodes(manifest.births.given));
		const references = await valueReferences(store, vocabulary, run, windows);
		return new Instruments(windows, run.tokensPerStep, kinds, references, probe);
	}

	/** Reads a model as it is. @param step - Updates behind it. */
	async read(model: Pick<WorldModel, 'score'>, step: number, signal?: AbortSignal): Promise<InstrumentMetrics> {
		const started = performance.now();
		const sums = new Map<TokenKind, { tokens: number; loss: number }>();
		let tokens = 0;
		for (const { batch, members } of this.#packed) {
			const scores = await model.score(batch, { withHidden: this.#probe !== undefined, signal });
			for (const [i, member] of members.entries()) {
				const window = this.#windows[member]!;
				// Nothing predicts the first token of a sequence: sequences before this one lack one each.
				const begin = batch.cuSeqlens[i]! - i - 1;
				for (let at = window.contextLength; at < window.tokens.length; at++) {
					tokens++;
					if (this.#kinds === undefined) continue;
					const kind = this.#kinds[window.tokens[at]!]!;
					const sum = sums.get(kind) ?? { tokens: 0, loss: 0 };
					sum.tokens++;
					sum.loss -= scores.logProbabilities[begin + at]!;
					sums.set(kind, sum);
				}
				if (this.#probe === undefined) continue;
				const width = scores.hidden.length / batch.tokens.length;
				const [from, to] = [batch.cuSeqlens[i]! * width, batch.cuSeqlens[i + 1]! * width];
				this.#probe.add(member, scores.hidden.subarray(from, to));
			}
		}
		const state = await this.#probe?.read();
		const losses = Object.fromEntries(
			[...sums].map(([kind, sum]) => [kind, { tokens: sum.tokens, loss: sum.loss / sum.tokens }]),
		);
		return {
			kind: 'instruments',
			step,
			patients: this.#windows.length,
			tokens,
			...(this.#kinds === undefined ? {} : { losses }),
			...(this.#references === undefined ? {} : { valueReferences: this.#references }),
			...(state === undefined ? {} : { state }),
			readMs: performance.now() - started,
		};
	}
}
