/** A label in lines that its slot has room for, broken behind spaces and hyphens; a word that is longer is cut. */
export function labelLines(label: string, letters: number): string[] {
	const lines: string[] = [];
	for (const word of label.match(/[^\s-]+-*|-+/g) ?? [label]) {
		const last = lines.at(-1);
		const longer = last === undefined ? word : `${last}${last.endsWith('-') ? '' : ' '}${word}`;
		if (last !== undefined && longer.length <= letters) lines[lines.length - 1] = longer;
		else lines.push(word);
	}
	return lines.map((line) => (line.length <= letters ? line : `${line.slice(0, Math.max(1, letters - 1))}…`));
}
