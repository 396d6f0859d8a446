/**
 * The 256 symbols that stand for bytes in the files of a byte-level BPE (GPT-2's map): printable Latin-1 characters stand
 * for themselves, the others for U+0100 and on, in order of the bytes.
 *
 * @returns (256,) symbol of each byte.
 */
export function byteSymbols(): string[] {
	let next = 0x100;
	return Array.from({ length: 256 }, (_, byte) => {
		const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
		return String.fromCharCode(printable ? byte : next++);
	});
}
