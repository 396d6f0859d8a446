const listed = 12;

/** Names of columns in a message: the first of them, and how many more there are. */
export function columnNames(names: Iterable<string>): string {
	const all = [...names];
	const rest = all.length - listed;
	return rest <= 0 ? all.join(', ') : `${all.slice(0, listed).join(', ')} and ${rest} more`;
}
