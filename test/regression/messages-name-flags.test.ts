/** Promise: a message of the command line that is about an option names the flag that sets it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { withFlags } from '../../lib/cli/flag-names.js';
import { temporaryFolder } from '../fixtures/temporary-folder.js';

const bin = fileURLToPath(new URL('../../../scripts/ehr-jepa.mjs', import.meta.url));

t.test('options that break their rule', (t) => {
	const folder = temporaryFolder(t);
	mkdirSync(join(folder, 'in'));
	const cases: readonly (readonly [flag: string, ...args: string[]])[] = [
		['--max-dropped', 'import-omop', 'in', 'out', '--max-dropped', '3'],
		['--min-patients', 'prepare', 'in', 'out', '--min-patients', '0'],
		['--min-years, --max-years', 'simulate', 'out', '--min-years', '9', '--max-years', '3'],
		['--draws', 'evaluate', 'in', 'in', 'out', '--model', 'm=x', '--draws', '3'],
		['--horizon', 'probe', 'out', '--features', 'f', '--labels', 'l', '--kind', 'cox', '--horizon', '-3'],
		['--max-code-length', 'validate', 'in', '--max-code-length', '0'],
	];
	for (const [flag, ...args] of cases) {
		const { status, stderr } = spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8' });
		t.equal(status, 2, args.join(' '));
		t.ok(stderr.includes(`(on the command line: ${flag})\n`), stderr);
	}
	t.end();
});

t.test('what is an option and what is a word', (t) => {
	const flags = ['max-dropped', 'notes', 'seed', 'labels', 'birth-code', 'm'];
	const said = (message: string) => withFlags(message, flags).slice(message.length);
	t.equal(said('[omop] maxDropped must be less; seed: too small'), ' (on the command line: --max-dropped, --seed)');
	t.equal(said('[tasks] externalLabels: must be a path'), ' (on the command line: --labels)');
	t.match(withFlags('[tasks] hideCodes.prefix.0: no', ['hide-code']), /no \(on the command line: --hide-code\)$/);
	t.equal(said('[x] lifeCodes.birth names it'), ' (on the command line: --birth-code)');
	t.equal(said('[x] notes are read with the seed of labels, m: no'), '', 'words are words');
	t.equal(said('[omop] must lose less (maxDropped, --max-dropped)'), '', 'it is there already');
	t.equal(said('[x] has no option "maxDroppedRows"'), '');
	t.end();
});
