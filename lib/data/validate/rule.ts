/** `error`: the data must not be used as they are. `warning`: they are read, and what is unusual about them is said. */
type Severity = 'error' | 'warning';

/** Where a rule comes from: MEDS 0.4 itself, a form that older MEDS or other writers use and we accept, or good sense. */
type Basis = 'meds-0.4' | 'older-meds' | 'data-quality';

export interface Rule {
	/** Stable identifier: `time-order`. */
	readonly name: string;
	readonly severity: Severity;
	readonly basis: Basis;
	/** What is counted: `rows`, `subjects`, `codes`, `columns` ... */
	readonly unit: string;
	/** The rule itself: `must not go backwards within a subject`. */
	readonly message: string;
	readonly fix?: string;
}

/** The first place that breaks a rule, in order of file name and row. */
export interface Offender {
	/** Relative to the data set, with `/`. */
	readonly file: string;
	/** Rows count from 0. */
	readonly row?: number;
	readonly column?: string;
	readonly subjectId?: bigint;
	/** A code, a time, a number or a type; never text of a patient. */
	readonly value?: string;
}

export interface Finding extends Rule {
	readonly count: number;
	readonly first: Offender;
}

// Longer values are cut, so that one bad code does not fill the terminal.
const longestValue = 80;

/** Gathers violations: counts add up, the first place of each rule stays. */
export class Findings {
	readonly #findings = new Map<string, Finding>();

	add(rule: Rule, count: number, first: Offender): void {
		if (count === 0) return;
		const before = this.#findings.get(rule.name);
		if (before !== undefined) {
			this.#findings.set(rule.name, { ...before, count: before.count + count });
			return;
		}
		const { name, severity, basis, unit, message, fix } = rule;
		const value = first.value;
		this.#findings.set(rule.name, {
			name,
			severity,
			basis,
			unit,
			message,
			...(fix === undefined ? {} : { fix }),
			count,
			first: value === undefined || value.length <= longestValue ? first : { ...first, value: shortened(value) },
		});
	}

	/** Errors first, each kind in the order in which it was met. */
	list(): Finding[] {
		const all = [...this.#findings.values()];
		return [
			...all.filter(({ severity }) => severity === 'error'),
			...all.filter(({ severity }) => severity === 'warning'),
		];
	}
}

function shortened(value: string): string {
	return `${value.slice(0, longestValue)}... (${value.length} characters)`;
}
