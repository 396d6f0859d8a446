import { mostDays } from '../../config.js';

/** An end of a window. */
export type Endpoint =
	/** The edge of the record. */
	| { readonly kind: 'edge' }
	/** So many microseconds after a place, or before it. */
	| {
			readonly kind: 'time';
			/** The trigger (no window), an end of another window, or the other end of its own (window ''). */
			readonly from: { readonly window: string | undefined; readonly side: 'start' | 'end' };
			readonly offset: bigint;
	  }
	/** The next event after a place, or the last before it. */
	| {
			readonly kind: 'event';
			readonly from: { readonly window: string | undefined; readonly side: 'start' | 'end' };
			readonly predicate: string;
			readonly direction: 'next' | 'previous';
	  };

const second = 1_000_000n;
const units: Readonly<Record<string, bigint>> = {
	w: 7n * 86_400n * second,
	d: 86_400n * second,
	h: 3_600n * second,
	m: 60n * second,
	s: second,
};

/** Undefined when it is none. @param text - `trigger + 24h`, `gap.end`, `start -> discharge_or_death`, `end <- admission`, or null. */
export function parseEndpoint(text: string | null): Endpoint | undefined {
	if (text === null) return { kind: 'edge' };
	const event = /^\s*([\w.]+)\s*(->|<-)\s*(\w+)\s*$/.exec(text);
	if (event !== null) {
		const [, from, arrow, predicate] = event;
		const direction = arrow === '->' ? 'next' : 'previous';
		return { kind: 'event', from: reference(from!), predicate: predicate!, direction };
	}
	const time = /^\s*([A-Za-z_][\w.]*)\s*(?:([+-])\s*(.+?))?\s*$/.exec(text);
	if (time === null) return undefined;
	const [, from, sign, span] = time;
	const offset = span === undefined ? 0n : duration(span);
	if (offset === undefined) return undefined;
	return { kind: 'time', from: reference(from!), offset: sign === '-' ? -offset : offset };
}

function reference(text: string): Extract<Endpoint, { kind: 'time' }>['from'] {
	if (text === 'trigger') return { window: undefined, side: 'start' };
	if (text === 'start' || text === 'end') return { window: '', side: text };
	const [window, side] = text.split('.');
	return { window: window!, side: side === 'end' ? 'end' : 'start' };
}

/** `24h`, `30 days`, `1d 12h` in microseconds; undefined when it is none, or more than a million days. */
function duration(text: string): bigint | undefined {
	let rest = text.trim();
	let total = 0n;
	while (rest !== '') {
		const part = /^(\d+)\s*(weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])[\s,]*/i.exec(
			rest,
		);
		if (part === null) return undefined;
		total += BigInt(part[1]!) * units[part[2]![0]!.toLowerCase()]!;
		rest = rest.slice(part[0].length);
	}
	return total > BigInt(mostDays) * units.d! ? undefined : total;
}
