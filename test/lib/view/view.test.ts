import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { ConfigError, DataError, type RunView, type ViewOptions, viewRuns } from '../../../lib/index.js';
import { generateReportInput } from '../../fixtures/report-input.js';
import { eventsOf } from '../../fixtures/server-sent-events.js';

// A slow machine still comes to the end of it.
t.setTimeout(120_000);

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly headers: Readonly<Record<string, unknown>>;
}

/** A request as no browser would make it: any path, any header. */
function ask(view: RunView, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: '127.0.0.1', port: view.port, path, method, headers, agent: false }, (response) => {
			let body = '';
			response.setEncoding('utf8').on('data', (part: string) => {
				body += part;
			});
			response.on('end', () => resolve({ status: response.statusCode!, body, headers: response.headers }));
		});
		sent.on('error', reject).end();
	});
}

const tokenPath = ({ address }: RunView) => new URL(address).pathname;

/** Two runs in a folder, and a view of it that ends with the test. */
async function viewed(t: Test, options: ViewOptions = {}): Promise<{ directory: string; view: RunView }> {
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 12, instruments: true });
	const view = await viewRuns(directory, { interval: 20, ...options });
	t.teardown(() => view.close());
	return { directory, view };
}

/** A line of a training step, made from the last one of a run. */
function stepAfter(file: string, change: Record<string, unknown> = {}): string {
	const last = readFileSync(file, 'utf8')
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line))
		.findLast(({ kind }) => kind === 'train');
	return `${JSON.stringify({ ...last, step: last.step + 1, ...change })}\n`;
}

t.test('the page shows every run with its progress, and draws those that are chosen', async (t) => {
	const { view } = await viewed(t);
	t.match(view.address, /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}\/$/);
	const page = await (await fetch(view.address)).text();
	t.match(page, /<h1>Runs in /);
	t.match(page, /12 of 12 \(100.%\)/);
	for (const title of ['Loss curves', 'Throughput', 'What is learned', 'Is the latent space alive?', 'Options'])
		t.match(page, new RegExp(title));
	t.match(page, 'Learning rate');
	t.notMatch(page, /NaN|undefined|Infinity|\[object/);
	const compared = await (await fetch(`${view.address}?run=sft&run=sft%2Bjepa`)).text();
	t.match(compared, /The two compared.*Tuning, next-token loss/s);
	t.match(compared, 'train.objective.latent.branch.ratio');
	const one = await (await fetch(`${view.address}?run=sft&run=`)).text();
	t.notMatch(one, 'The two compared');
	t.match(one, '1 of 2 runs are drawn');
});

t.test('speeds are compared by their medians, and every difference has its sign', async (t) => {
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 12 });
	for (const [run, rate] of [
		['sft', 5_000],
		['sft+jepa', 3_000],
	] as const) {
		const file = join(directory, run, 'metrics.jsonl');
		for (let i = 0; i < 20; i++) appendFileSync(file, stepAfter(file, { tokensPerSecond: rate }));
		appendFileSync(file, stepAfter(file, { tokensPerSecond: 9_000_000_000 }));
	}
	const view = await viewRuns(directory);
	t.teardown(() => view.close());
	const page = await (await fetch(`${view.address}?run=sft&run=sft%2Bjepa`)).text();
	const row = page.match(/<tr>(?:(?!<\/tr>).)*Tokens per second, median of 20 steps.*?<\/tr>/s)?.[0] ?? '';
	t.same(row.replace(/<[^>]*>/g, ' ').match(/\S*\d,\d{3}/g), ['5,000', '3,000', '+2,000']);
});

t.test('lines that are appended arrive as events, a half line once it is whole', async (t) => {
	const { directory, view } = await viewed(t);
	const file = join(directory, 'sft', 'metrics.jsonl');
	const events = eventsOf(t, `${view.address}events`);
	const places = (await events.until(({ html }) => html.includes('<h2>Runs</h2>'))).map(({ id }) => id);
	t.same(places, ['runs', 'compare', 'losses', 'throughput', 'instruments', 'collapse', 'options']);
	const line = stepAfter(file, { nextTokenLoss: 0.123456 });
	appendFileSync(file, line.slice(0, 40));
	await pause(150);
	appendFileSync(file, line.slice(40));
	const update = await events.until(({ html }) => html.includes('0.123456'));
	t.ok(update.find(({ id }) => id === 'runs')!.html.includes('13 of 12'));
	t.notOk(
		update.some(({ id }) => id === 'options'),
		'what has not changed is not sent again',
	);
	const tuning = { kind: 'tuning', step: 13, nextTokenLoss: 0.654321, latentLoss: null, tokens: 100 };
	appendFileSync(file, `${JSON.stringify(tuning)}\n`);
	await events.until(({ html }) => html.includes('0.654321'));
});

t.test('a run that is written anew, shortened, broken, new or gone does not stop the view', async (t) => {
	const { directory, view } = await viewed(t);
	const file = join(directory, 'sft', 'metrics.jsonl');
	const events = eventsOf(t, `${view.address}events`);
	const runs = (text: string) => events.until(({ id, html }) => id === 'runs' && html.includes(text));
	await runs('12 of 12');
	// As a resumed run does: another file under the same name, without the last lines.
	const steps = readFileSync(file, 'utf8')
		.split('\n')
		.filter((line) => line.includes('"train"'));
	writeFileSync(`${file}.new`, `${steps.slice(0, 5).join('\n')}\n`);
	renameSync(`${file}.new`, file);
	await runs('5 of 12');
	// In place, and longer than before.
	writeFileSync(
		file,
		`${steps
			.slice(0, 8)
			.map((line) => line.replace('"step":', ' "step":'))
			.join('\n')}\n`,
	);
	await runs('8 of 12');
	appendFileSync(file, 'no JSON\n{"kind":"train","step":"nine"}\n');
	await runs('2 lines of metrics.jsonl');
	appendFileSync(file, `${steps[8]}\n`);
	await runs('9 of 12');
	await generateReportInput({ directory: mkdirIn(directory, 'later'), steps: 3 });
	await runs('later/sft');
	rmSync(join(directory, 'later'), { recursive: true });
	await events.until(({ id, html }) => id === 'runs' && !html.includes('later/sft'));
	rmSync(file);
	await events.until(({ id, html }) => id === 'runs' && !html.includes('9 of 12'));
	t.equal((await fetch(view.address)).status, 200);
});

function mkdirIn(directory: string, name: string): string {
	const path = join(directory, name);
	mkdirSync(path);
	return path;
}

t.test('nobody but who has the address is answered', async (t) => {
	const { directory, view } = await viewed(t);
	const path = tokenPath(view);
	const own = { host: `127.0.0.1:${view.port}` };
	t.equal((await ask(view, path, own)).status, 200);
	t.equal((await ask(view, path, { host: `localhost:${view.port}` })).status, 200);
	const token = path.slice(1, -1);
	const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
	for (const other of [
		'/',
		'',
		'/favicon.ico',
		`/${wrong}/`,
		`/${token}x/`,
		`/${token.slice(1)}/`,
		`//${token}/`,
		`/events`,
	]) {
		const { status, body } = await ask(view, other || '*', own);
		t.equal(status, 403, `403 for ${JSON.stringify(other)}`);
		t.notMatch(body, token);
	}
	for (const host of ['evil.example', `evil.example:${view.port}`, '127.0.0.1', `127.0.0.1:${view.port + 1}`]) {
		t.equal((await ask(view, path, { host })).status, 403, `403 for Host ${host}`);
		t.equal((await ask(view, `${path}events`, { host })).status, 403);
	}
	t.equal((await ask(view, path, { ...own, origin: 'http://evil.example' })).status, 403);
	t.equal((await ask(view, `${path}events`, { ...own, 'sec-fetch-site': 'cross-site' })).status, 403);
	t.equal((await ask(view, path, own, 'POST')).status, 405);
	writeFileSync(join(directory, 'secret.txt'), 'secret');
	symlinkSync('/', join(directory, 'root'));
	for (const place of [
		'secret.txt',
		'../secret.txt',
		'..%2fsecret.txt',
		'%2e%2e/%2e%2e/etc/passwd',
		'....//etc/passwd',
		'sft/config.json',
		'events/',
		'events%00',
		'//etc/passwd',
	]) {
		const { status, body } = await ask(view, path + place, own);
		t.equal(status, 404, `404 for ${place}`);
		t.notMatch(body, /secret|root:/);
	}
	for (const name of ['../sft', '/etc', 'nobody', 'sft/../sft', '%00']) {
		const { status, body } = await ask(view, `${path}?run=${encodeURIComponent(name)}`, own);
		t.equal(status, 404, `404 for run ${name}`);
		t.notMatch(body, name);
	}
	t.equal((await ask(view, `${path}?run=a&run=b&run=c&run=d&run=e`, own)).status, 400);
	const { headers } = await ask(view, path, own);
	t.match(headers, {
		'cache-control': 'no-store',
		'x-content-type-options': 'nosniff',
		'content-security-policy': /default-src 'none'.*script-src 'nonce-[\w-]{32}'.*frame-ancestors 'none'/,
	});
	t.notSame((await ask(view, path, own)).headers['content-security-policy'], headers['content-security-policy']);
});

t.test('names of runs never become markup', async (t) => {
	const directory = t.testdir();
	const name = `a"><script>alert(1)<`;
	await generateReportInput({ directory: mkdirIn(directory, name), steps: 2 });
	await using view = await viewRuns(directory);
	const page = await (await fetch(view.address)).text();
	t.match(page, 'a&quot;&gt;&lt;script&gt;alert(1)&lt;/sft');
	t.equal(page.split('<script').length, 2, 'only our own');
	t.equal((await fetch(`${view.address}?run=${encodeURIComponent(`${name}/sft`)}`)).status, 200);
});

t.test('it is bound to 127.0.0.1, and tells what is wrong', async (t) => {
	const { view } = await viewed(t);
	await t.rejects(viewRuns(t.testdirName, { port: view.port }), ConfigError);
	await t.rejects(viewRuns(t.testdirName, { port: view.port }), {
		code: 'EHR_JEPA_CONFIG',
		message: `[view] port must be free but ${view.port} is in use; choose another, or 0 for any free one`,
	});
	await t.rejects(viewRuns(t.testdirName, { port: 70_000 }), ConfigError);
	await t.rejects(viewRuns(t.testdirName, { prot: 1 } as ViewOptions), /no option "prot"/);
	await t.rejects(viewRuns(join(t.testdirName, 'nothing')), DataError);
	await t.rejects(viewRuns(join(t.testdirName, 'evaluation.json')), /must be a folder of runs.*but found a file/);
	await t.rejects(viewRuns(''), ConfigError);
	const other = createConnection({ host: '127.0.0.2', port: view.port });
	await t.rejects(new Promise((resolve, reject) => other.on('connect', resolve).on('error', reject)), {
		code: 'ECONNREFUSED',
	});
});

t.test('a signal ends it, with every client, and lets the port go', async (t) => {
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 2 });
	await t.rejects(viewRuns(directory, {}, { signal: AbortSignal.abort() }), { name: 'AbortError' });
	const controller = new AbortController();
	const view = await viewRuns(directory, { interval: 20 }, { signal: controller.signal });
	const events = eventsOf(t, `${view.address}events`);
	await events.until(({ id }) => id === 'runs');
	controller.abort();
	await view.closed;
	t.equal(await events.ended, 'end', 'the page is told');
	await t.rejects(fetch(view.address));
	const again = createServer();
	await new Promise<void>((resolve, reject) => again.on('error', reject).listen(view.port, '127.0.0.1', resolve));
	await new Promise((resolve) => again.close(resolve));
	await t.resolves(view.close(), 'closing twice is no error');
});

t.test('a page whose request for events is halfway when the view ends is told so', async (t) => {
	const { view } = await viewed(t);
	const socket = createConnection(view.port, '127.0.0.1');
	await once(socket, 'connect');
	socket.write(`GET ${tokenPath(view)}events HTTP/1.1\r\nHost: 127.0.0.1:${view.port}\r\n`);
	await pause(100);
	const closed = view.close();
	socket.write('\r\n');
	let said = '';
	socket.setEncoding('utf8').on('data', (part: string) => {
		said += part;
	});
	await once(socket, 'close');
	await closed;
	t.match(said, /event: update\n[\s\S]*event: end\n/, 'the last state, and that there is no more');
});

t.test('many clients that come and go leave nothing', async (t) => {
	const { view } = await viewed(t);
	for (let round = 0; round < 8; round++) {
		const clients = Array.from({ length: 10 }, () => eventsOf(t, `${view.address}events`));
		await Promise.all(clients.map((client) => client.until(({ id }) => id === 'runs')));
		for (const client of clients) client.stop();
	}
	// Had those stayed, these would be too many.
	await pause(200);
	const clients = Array.from({ length: 64 }, () => eventsOf(t, `${view.address}events`));
	await Promise.all(clients.map((client) => client.until(({ id }) => id === 'runs')));
	t.equal((await fetch(`${view.address}events`)).status, 503, 'one more is too many');
	for (const client of clients) client.stop();
});

t.test('a long run is kept thinned', async (t) => {
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 4 });
	const file = join(directory, 'sft', 'metrics.jsonl');
	const line = JSON.parse(stepAfter(file));
	const lines = Array.from({ length: 9000 }, (_, i) => `${JSON.stringify({ ...line, step: i + 1, tokens: 10 })}\n`);
	writeFileSync(file, lines.join(''));
	await using view = await viewRuns(directory, { interval: 20 });
	const events = eventsOf(t, `${view.address}events?run=sft`);
	const update = await events.until(({ id, html }) => id === 'runs' && html.includes('9,000'));
	t.match(update.find(({ id }) => id === 'runs')!.html, '<data value="90000">90,000</data>', 'every step counts');
	t.match(update.find(({ id }) => id === 'losses')!.html, 'Runs of up to 8,99');
	events.stop();
});

t.test('the command prints the address and ends with Ctrl-C', async (t) => {
	const directory = t.testdir();
	await generateReportInput({ directory, steps: 2 });
	const main = fileURLToPath(new URL('../../../lib/cli/main.js', import.meta.url));
	const child = spawn(process.execPath, [main, 'view', directory, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
	t.teardown(() => child.kill('SIGKILL'));
	let text = '';
	for await (const part of child.stdout) {
		text += part;
		if (text.includes('}')) break;
	}
	const { address, port } = JSON.parse(text);
	t.equal((await fetch(address)).status, 200);
	t.equal(new URL(address).port, String(port));
	const ended = once(child, 'exit');
	child.kill('SIGINT');
	t.same(await ended, [0, null], 'a view that was ended has done what it should');
});
