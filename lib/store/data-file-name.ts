/** Name of a data file below the folder of its split. */
export function dataFileName(number: number): string {
	return `${String(number).padStart(5, '0')}.arrow`;
}
