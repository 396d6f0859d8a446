import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../fixtures/temporary-folder.js';
import { measurement, tinyOmop, writeOmopCsv } from '../fixtures/tiny-omop.js';

const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));

t.test(
	'a file that cannot grow stands for a full disk: a typed error, and nothing is left that looks whole',
	async (t) => {
		const folder = temporaryFolder(t);
		// NODE_OPTIONS holds what tap preloads: its signal handlers undo the trap.
		/** A write beyond the limit fails as on a full disk once SIGXFSZ is ignored. */
		const run = (kibibytes: number | 'unlimited', ...args: string[]) =>
			spawnSync(
				'bash',
				[
					'-c',
					`trap '' XFSZ; ulimit -f ${kibibytes}; unset NODE_OPTIONS; exec "$@"`,
					'bash',
					process.execPath,
					bin,
					...args,
				],
				{
					cwd: folder,
					// Without what tap preloads: its signal handlers undo the trap.
					env: { PATH: process.env.PATH, HOME: process.env.HOME },
					encoding: 'utf8',
					timeout: 120_000,
				},
			);
		const fails = (kibibytes: number, out: string, ...args: string[]) => {
			const before = readdirSync(folder).sort();
			const { status, stderr } = run(kibibytes, ...args);
			t.equal(status, 4, `${args[0]} exits with 4: ${stderr.slice(-300)}`);
			t.match(stderr, /EHR_JEPA_OUTPUT/);
			t.notMatch(stderr, /unexpected error|unhandled|^ +at /im);
			t.notOk(existsSync(join(folder, out)));
			t.same(readdirSync(folder).sort(), before, `${args[0]} leaves nothing behind`);
		};
		writeOmopCsv(join(folder, 'cdm'), {
			...tinyOmop(),
			measurement: Array.from({ length: 20_000 }, (_, i) =>
				measurement({ measurement_id: i, value_as_number: Math.sqrt(i), value_source_value: `value ${i * 7919}` }),
			),
		});
		fails(100, 'meds', 'import-omop', 'cdm', 'meds');
		fails(100, 'cohort', 'simulate', 'cohort', '--patients', '80');
		t.equal(run('unlimited', 'simulate', 'cohort', '--patients', '80').status, 0);
		fails(40, 'store', 'prepare', 'cohort', 'store');
		t.equal(run('unlimited', 'prepare', 'cohort', 'store').status, 0);
		const train = ['train', 'store', 'run', '--size', 'tiny', '--steps', '1'] as const;
		// Of the run folder not even the lock fits, then not its configuration: the same command works once there is room.
		for (const kibibytes of [0, 1]) fails(kibibytes, 'run', ...train);
		// What is full later leaves the run: the error says how to go on, and the same command begins it again.
		for (let i = 0; i < 2; i++) {
			const { status, stderr } = run(16, ...train);
			t.equal(status, 4, stderr.slice(-300));
			t.match(
				stderr,
				/could not be written: .*; step 1 is not saved: when there is room, train --resume .* begins again, as there is no/,
			);
		}
		t.match(run('unlimited', ...train, '--seed', '2').stderr, /holds a run of other options or data; go on with it/);
		t.equal(run('unlimited', ...train).status, 0);
		t.match(run('unlimited', ...train).stderr, /holds a run with 1 checkpoint; go on with it \(train --resume/);
		t.equal(run('unlimited', 'tasks', 'cohort', 'tasks').status, 0);
		fails(4, 'states.parquet', 'embed', 'run', 'store', 'tasks', 'states.parquet');
		const sequence = JSON.stringify(Array.from({ length: 200 }, (_, i) => i % 50));
		writeFileSync(join(folder, 'ids.jsonl'), `${sequence}\n`.repeat(20));
		for (const kibibytes of [0, 4]) fails(kibibytes, 'ids.arrow', 'score', 'run', 'ids.arrow', '--tokens', 'ids.jsonl');
		fails(1, 'days.arrow', 'score', 'run', 'days.arrow', '--store', 'store');
	},
);
