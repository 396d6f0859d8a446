import { packageVersion } from '../package-version.js';
import { Html, html, nothing } from '../report/html.js';
import { stylesheet } from '../report/style.js';
import { clientScript } from './client-script.js';
import type { LiveRun } from './live-run.js';
import { sectionIds } from './sections.js';

const ownStyle = `
.bar{display:flex;flex-wrap:wrap;gap:10px 16px;align-items:end;margin:18px 0}
.bar label{display:grid;gap:3px;font-size:.84rem;color:var(--muted);min-width:0}
.bar select,.bar button{font:inherit;color:var(--ink);background:var(--paper);border:1px solid var(--muted);border-radius:6px;padding:6px 10px;max-width:16em;min-height:2.4em}
.bar button[aria-pressed=true]{background:var(--ink);color:var(--paper)}
.bar :focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
[hidden]{display:none}
@media print{.bar{display:none}}
`;

/** The whole page with its present state; a script with the nonce keeps it up to date. */
export function livePage(page: {
	readonly title: string;
	readonly runs: readonly LiveRun[];
	readonly chosen: readonly LiveRun[];
	readonly sections: ReadonlyMap<string, string>;
	readonly nonce: string;
}): Html {
	const { title, runs, chosen, sections, nonce } = page;
	const choice = (label: string, selected: string | undefined) =>
		html`<label>${label}<select name="run"><option value="">none</option>${runs.map(({ name }) => html`<option value="${name}"${name === selected ? html` selected` : nothing}>${name}</option>`)}</select></label>`;
	const picked = chosen.length <= 2 ? chosen : [];
	return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${new Html(stylesheet + ownStyle)}</style>
</head>
<body>
<main>
<header><p class="eyebrow">ehr-jepa ${packageVersion}</p>
<h1>${title}</h1></header>
<form class="bar" method="get" aria-label="Runs to draw">${choice('Run', picked[0]?.name)}${choice('compared with', picked[1]?.name)}<button>Show</button><button type="button" id="pause" aria-pressed="false">Pause</button><a href="?">Newest runs</a></form>
<p class="note" role="status" id="connection">Connecting.</p>
<noscript><p>Without scripts this page is a snapshot: load it again for newer numbers.</p></noscript>
${sectionIds.map((id) => {
	const body = sections.get(id) ?? '';
	return html`<section id="${id}"${body === '' ? html` hidden` : nothing}>${new Html(body)}</section>
`;
})}
<footer>Read from metrics.jsonl and config.json of the run folders; nothing leaves this machine.</footer>
</main>
<script nonce="${nonce}">${new Html(clientScript)}</script>
</body>
</html>
`;
}
