import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** Runs `build/<preset>/<name>`, which prints TAP, and reports each of its tests as one of this file. */
export async function relayTap(name: string): Promise<void> {
	const executable = ['release', 'debug']
		.map((preset) => fileURLToPath(new URL(`../../../build/${preset}/${name}`, import.meta.url)))
		.find((file) => existsSync(file));
	if (executable === undefined) {
		t.pass(name, { skip: `build/release/${name} is not built; run: npm run build` });
		return;
	}
	// As the addon's loader sets it (docs/adr/0004): the other test files want the cores too.
	const env = { GOMP_SPINCOUNT: '5000', ...process.env };
	const child = spawn(executable, [], { env, stdio: ['ignore', 'pipe', 'pipe'] });
	let stderr = '';
	child.stderr.setEncoding('utf8').on('data', (text: string) => {
		stderr += text;
	});
	const closed = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
		child.on('error', reject).on('close', (status, signal) => resolve(status ?? signal));
	});
	let reported = 0;
	let planned: number | undefined;
	for await (const line of createInterface({ input: child.stdout })) {
		const plan = /^1\.\.(\d+)$/.exec(line);
		if (plan) planned = Number(plan[1]);
		// The harness prints a failure's reason on the line after its `not ok`.
		const comment = /^# (.*)$/.exec(line);
		if (comment) t.comment(comment[1]!);
		const point = /^(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$/.exec(line);
		if (!point) continue;
		reported++;
		const [, failed, test, skipped] = point;
		if (skipped !== undefined) t.pass(test!, { skip: skipped });
		else t.equal(failed, undefined, test!);
	}
	const status = await closed;
	t.equal(planned, reported, 'every planned native test was reported');
	t.ok(reported > 0, 'there are native tests');
	t.equal(status, 0, `${name} ends with 0${stderr === '' ? '' : `; stderr: ${stderr}`}`);
}
