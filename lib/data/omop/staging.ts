import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetFiles } from '../../files/duckdb-files.js';

/** Folder of the rows between the CDM and MEDS: `<part>/shard=<id>/*.parquet`. */
export class Staging {
	readonly folder: string;
	#files: readonly { readonly part: number; readonly shard: number; readonly path: string }[] = [];

	constructor(folder: string) {
		this.folder = folder;
	}

	folderOf(part: number): string {
		return join(this.folder, String(part));
	}

	/** Looks at what was written; call it when all is. */
	async list(): Promise<void> {
		const names = (await readdir(this.folder, { recursive: true })).sort();
		this.#files = names.flatMap((name) => {
			const place = /^(\d+)[/\\]shard=(-?\d+)[/\\].+\.parquet$/.exec(name);
			return place === null ? [] : [{ part: Number(place[1]), shard: Number(place[2]), path: join(this.folder, name) }];
		});
	}

	/** SQL of the rows of a part or of a shard, or of all; undefined when there are none. */
	rows(which: { readonly part?: number; readonly shard?: number } = {}): string | undefined {
		const { part, shard } = which;
		const paths = this.#files
			.filter((file) => (part === undefined || file.part === part) && (shard === undefined || file.shard === shard))
			.map(({ path }) => path);
		return paths.length === 0 ? undefined : parquetFiles(paths);
	}

	async remove(): Promise<void> {
		await rm(this.folder, { recursive: true, force: true });
	}
}
