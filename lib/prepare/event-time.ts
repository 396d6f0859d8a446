import { int64 } from '../data/subject-splits.js';
import { type EpochDay, microsecondsPerDay } from '../types.js';

/** High word of a static event's time; no real time has it. */
export const staticHigh = -(2 ** 31);

const dayMicroseconds = Number(microsecondsPerDay);

/** Calendar day of a time; floor, so that times before 1970 fall on their own day. */
export function epochDay(low: number, high: number): EpochDay {
	// Beyond 2^53 microseconds (year 2255) a double is no longer exact.
	if (high >= 2 ** 21 || high < -(2 ** 21)) {
		const time = int64(low, high);
		const day = time / microsecondsPerDay;
		return Number(time < 0n && day * microsecondsPerDay !== time ? day - 1n : day);
	}
	return Math.floor((high * 2 ** 32 + (low >>> 0)) / dayMicroseconds);
}

/** Microseconds from one time to a later one. */
export function elapsed(fromLow: number, fromHigh: number, low: number, high: number): number {
	return (high - fromHigh) * 2 ** 32 + ((low >>> 0) - (fromLow >>> 0));
}

export function isBefore(low: number, high: number, otherLow: number, otherHigh: number): boolean {
	return high < otherHigh || (high === otherHigh && low >>> 0 < otherLow >>> 0);
}
