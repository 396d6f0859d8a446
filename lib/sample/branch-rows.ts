import type { LatentBranches } from '../types.js';

type Rows = Pick<LatentBranches, 'cuRows' | 'tokens' | 'positionIds' | 'targets' | 'days'>;

/** Rows of branches as they are added. */
export class RowTable {
	readonly #cuRows = [0];
	readonly #tokens: number[] = [];
	readonly #positionIds: number[] = [];
	readonly #targets: number[] = [];
	readonly #days: number[] = [];
	readonly #encoded: boolean;

	/** @param encoded - Whether the rows go through the encoder. */
	constructor(encoded: boolean) {
		this.#encoded = encoded;
	}

	add(token: number, position: number, target: number, days: number): void {
		if (this.#encoded) {
			this.#tokens.push(token);
			this.#positionIds.push(position);
		}
		this.#targets.push(target);
		this.#days.push(days);
	}

	endBranch(): void {
		this.#cuRows.push(this.#targets.length);
	}

	arrays(): Rows {
		return {
			cuRows: Int32Array.from(this.#cuRows),
			tokens: Int32Array.from(this.#tokens),
			positionIds: Int32Array.from(this.#positionIds),
			targets: Int32Array.from(this.#targets),
			days: Float32Array.from(this.#days),
		};
	}
}
