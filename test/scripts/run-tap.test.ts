import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { scriptUrl } from './script-modules.js';

t.test('a file that ends badly, and one without tests, are failures; one that says why it skips is not', async (t) => {
	const folder = t.testdir({
		'sound.mjs': "console.log('TAP version 14\\nok 1 - a\\n1..1')",
		'forgotten.mjs': "console.log('TAP version 14\\n1..0')",
		'skipped.mjs': "console.log('TAP version 14\\n1..0 # no such file here')",
		'ended.mjs': "console.log('TAP version 14\\nok 1 - a\\n1..1'); process.exitCode = 3;",
	});
	const files = ['sound', 'forgotten', 'skipped', 'ended'].map((name) => join(folder, `${name}.mjs`));
	const program = `const { runTap } = await import(${JSON.stringify(scriptUrl('check/run-tap.mjs'))});
		console.log(JSON.stringify(await runTap(${JSON.stringify(files)})));`;
	const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
	const { failed, failures } = JSON.parse(output.trim().split('\n').at(-1)!);
	t.equal(failed, 2);
	t.match(failures.toSorted(), [/ended\.mjs \(ended with 3\)/, /forgotten\.mjs \(holds no test\)/]);
});
