/**
 * What a unit is called, whatever its spelling: `g/dL`, `G/DL` and ` g / dl ` are one, and so are both micro signs and the
 * `u` that stands for them. Case is part of a unit where it decides its size: `Mg` is a billion times `mg`, so a word with a
 * small and a capital letter that begins with M or P stays as it is. Words written in capitals alone are small ones, as in
 * the case-insensitive form of UCUM.
 */
export function unitSpelling(unit: string): string {
	const plain = unit.normalize('NFKC').replace(/\s+/g, '').replace(/[µμ]/g, 'u');
	const letters = plain.replace(/[^\p{L}]/gu, '');
	if (letters.length > 1 && letters === letters.toUpperCase()) return plain.toLowerCase();
	return plain.replace(/\p{L}+/gu, (word) => {
		if (word.length === 1) return /[GLU]/.test(word) ? word.toLowerCase() : word;
		if (word === word.toUpperCase()) return word.toLowerCase();
		return /^[MP]/.test(word) ? word : word.toLowerCase();
	});
}
