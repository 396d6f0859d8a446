/** @typedef {import('./compile.mjs').KernelRow} KernelRow */
/**
 * The committed table: what nvcc made of each kernel.
 *
 * @typedef {object} KernelTable
 * @property {string} nvcc - Whose figures these are; another one's may differ.
 * @property {Record<string, Record<string, [registers: number, sharedBytes: number, blocks: number, instructions: string]>>} kernels
 */

/** @param {KernelRow} row */
const nameOf = ({ source, kernel }) => `${source} ${kernel}`;
/** @param {KernelRow} row @returns {[number, number, number, string]} */
const figuresOf = ({ registers, sharedBytes, blocks, instructions }) => [
	registers,
	sharedBytes,
	blocks,
	instructions.join(' '),
];

/** As the formatter leaves it. @param {readonly KernelRow[]} rows @param {string} nvcc */
export function tableText(rows, nvcc) {
	/** @type {Record<string, string[]>} */
	const lines = {};
	for (const row of rows) {
		const figures = figuresOf(row).map((figure) => JSON.stringify(figure));
		const ofKernel = lines[nameOf(row)] ?? [];
		lines[nameOf(row)] = [...ofKernel, `\t\t\t${JSON.stringify(row.architecture)}: [${figures.join(', ')}]`];
	}
	const kernels = Object.keys(lines)
		.sort()
		.map((name) => `\t\t${JSON.stringify(name)}: {\n${lines[name]?.join(',\n')}\n\t\t}`);
	return `{\n\t"nvcc": ${JSON.stringify(nvcc)},\n\t"kernels": {\n${kernels.join(',\n')}\n\t}\n}\n`;
}

/** What differs from the table, a line each. @param {readonly KernelRow[]} rows @param {KernelTable} table */
export function differences(rows, { kernels }) {
	const renew = 'scripts/check-cuda-kernels.mjs --write renews the table';
	const found = new Set(rows.map(nameOf));
	const gone = Object.keys(kernels).filter((name) => !found.has(name));
	return [
		...gone.map((name) => `${name} is in the table but not in the sources; ${renew}`),
		...rows.flatMap((row) => {
			const expected = JSON.stringify(kernels[nameOf(row)]?.[row.architecture] ?? 'nothing');
			const has = JSON.stringify(figuresOf(row));
			if (has === expected) return [];
			return [`${nameOf(row)} on ${row.architecture} has ${has} but the table has ${expected}; ${renew}`];
		}),
	];
}
