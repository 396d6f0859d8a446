/** SQL text literal. */
export function quoted(text: string): string {
	return `'${text.replaceAll("'", "''")}'`;
}

/** SQL identifier. */
export function identifier(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}
