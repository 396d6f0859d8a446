import { DataError } from '../errors.js';
import { type EpochDay, type Microseconds, microsecondsPerDay } from '../types.js';

/** Calendar day of a time; floor, so that times before 1970 fall on their own day. */
export function dayOf(time: Microseconds): EpochDay {
	const day = time / microsecondsPerDay;
	return Number(time < 0n && day * microsecondsPerDay !== time ? day - 1n : day);
}

const firstDay = -719_162; // 0001-01-01
const lastDay = 2_932_896; // 9999-12-31

/** `2024-01-31`. @throws {DataError} For a day outside the years 1 to 9999, which no record means. */
export function isoDate(day: EpochDay): string {
	if (day < firstDay || day > lastDay) {
		throw new DataError('text', {
			file: 'events',
			column: 'time',
			rule: 'must lie in the years 1 to 9999',
			value: `a time ${day} days from 1970-01-01`,
			fix: 'time counts microseconds; set a time that is a placeholder to null',
		});
	}
	return new Date(day * 86_400_000).toISOString().slice(0, 10);
}

/** Birthdays that have come on a day: a year of 365.25 days is late by one on some of them. Who was born on 29 February has it on 1 March. */
export function birthdaysUntil(birthDay: EpochDay, day: EpochDay): number {
	const [birth, now] = [birthDay, day].map((one) => new Date(one * 86_400_000)) as [Date, Date];
	const ofYear = (date: Date) => date.getUTCMonth() * 32 + date.getUTCDate();
	return now.getUTCFullYear() - birth.getUTCFullYear() - (ofYear(now) < ofYear(birth) ? 1 : 0);
}
