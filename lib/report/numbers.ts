/** Numbers as people read them. None of these functions sees a value that is not finite: the readers refuse those. */

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const minus = '\u2212';

function signed(text: string): string {
	return text.startsWith('-') ? minus + text.slice(1) : text;
}

/** 12,345 */
export function formatCount(value: number): string {
	return signed(grouped.format(value));
}

/** A number with a fixed scale, such as AUROC or R²: three decimals. */
export function formatMetric(value: number): string {
	const text = value.toFixed(3);
	return text === '-0.000' ? '0.000' : signed(text);
}

/** A difference with its sign, of three decimals unless it is written otherwise. */
export function formatDifference(value: number, write = formatMetric): string {
	const text = write(value);
	return value > 0 && text !== '0.000' ? `+${text}` : text;
}

/** A number of unknown size: three significant digits, 1,234 from a thousand, 3.2e-4 below a thousandth. */
export function formatSignificant(value: number): string {
	const size = Math.abs(value);
	if (size === 0) return '0';
	if (size >= 999.5) return formatCount(Math.round(value));
	return signed(size >= 0.001 ? value.toPrecision(3) : value.toExponential(1));
}

/** 0.95 is 95 %. */
export function formatPercent(share: number, digits = 0): string {
	return `${Number((100 * share).toFixed(digits)).toFixed(digits)}\u00a0%`;
}

export function formatBytes(bytes: number): string {
	return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${formatCount(Math.round(bytes / 2 ** 20))} MiB`;
}

export function formatDuration(milliseconds: number): string {
	const seconds = Math.round(milliseconds / 1000);
	if (seconds < 120) return `${(milliseconds / 1000).toFixed(1)} s`;
	const minutes = Math.round(seconds / 60);
	return minutes < 120 ? `${minutes} min` : `${formatCount(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** All ticks of an axis with the same number of decimals. @param step - Distance of two ticks. */
export function formatTick(value: number, step: number): string {
	if (Math.abs(value) >= 10_000) return `${signed(String(Number((value / 1000).toPrecision(4))))}k`;
	return signed(value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
}

export function horizonLabel(days: number | null): string {
	if (days === null) return 'as labelled';
	return days === 0 ? 'now' : `${formatCount(days)} d`;
}

/** `a, b and c`. */
export function listed(words: readonly string[]): string {
	return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)!}`;
}
