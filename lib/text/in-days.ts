/** A number of days in words: `1 day`, `30 days`. */
export function inDays(days: number): string {
	return `${days} day${days === 1 ? '' : 's'}`;
}
