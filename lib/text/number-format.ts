/**
 * Six significant digits: what float32, the type of MEDS values, carries in every case (FLT_DIG). A value that was
 * written with up to six digits comes back as it was: 7.2, not 7.199999809.
 */
export const defaultSignificantDigits = 6;

/**
 * Writes a number with its significant digits, without trailing zeros: 0.004, 7.2, 1250. Digits before the point are
 * never rounded away.
 */
export function significant(value: number, digits: number): string {
	if (value === 0) return '0';
	if (Number.isInteger(value)) return String(value);
	if (Math.abs(value) >= 10 ** digits) return String(Math.round(value));
	return String(Number(value.toPrecision(digits)));
}

/**
 * Writes two decimals as the released serialisers do (paper.md 1.5 rule 6): 126.00, and 0.004 becomes 0.00. Python
 * rounds exact halves to even, `toFixed` away from zero: 0.125 is 0.12 here.
 */
export function twoDecimal(value: number): string {
	const size = Math.abs(value);
	const sign = value < 0 || Object.is(value, -0) ? '-' : '';
	if (size >= 1e21) return `${sign}${BigInt(size)}.00`;
	const eighths = size * 8;
	// An exact half of a hundredth is an odd multiple of 1/8: no other binary fraction ends in 5 behind two decimals.
	if (eighths % 2 === 1) return `${sign}${Math.floor(size)}.${evenHundredths[(eighths % 8) >> 1]}`;
	return sign + size.toFixed(2);
}

/** 0.125, 0.375, 0.625 and 0.875, halves to even. */
const evenHundredths = ['12', '38', '62', '88'];
