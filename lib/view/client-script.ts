/**
 * What runs in the page: it puts parts that have changed in the place of the old ones, and keeps open folds, scrolled tables
 * and the focus as they were. It is text, since this project is compiled without the types of a page.
 */
export const clientScript = `
'use strict';
{
const status = document.getElementById('connection');
const pause = document.getElementById('pause');
const waiting = new Map();
const say = (text) => { if (status.textContent !== text) status.textContent = text; };
const controls = (place) => [...place.querySelectorAll('a[href], summary, [tabindex]')];
function put(id, html) {
	const place = document.getElementById(id);
	const open = new Set([...place.querySelectorAll('details[open] > summary')].map((summary) => summary.textContent));
	const scrolled = [...place.querySelectorAll('.scroll')].map((table) => table.scrollLeft);
	const focused = controls(place).indexOf(document.activeElement);
	place.innerHTML = html;
	place.hidden = html === '';
	for (const summary of place.querySelectorAll('summary')) if (open.has(summary.textContent)) summary.parentElement.open = true;
	place.querySelectorAll('.scroll').forEach((table, i) => { table.scrollLeft = scrolled[i] ?? 0; });
	if (focused >= 0) controls(place)[focused]?.focus({ preventScroll: true });
}
function flush() {
	if (pause.getAttribute('aria-pressed') === 'true') {
		if (waiting.size > 0) say('Paused; there is something new.');
		return;
	}
	for (const [id, html] of waiting) put(id, html);
	waiting.clear();
}
const source = new EventSource('events' + location.search);
source.addEventListener('open', () => say('Live.'));
source.addEventListener('error', () => say('The connection is lost; trying again.'));
source.addEventListener('end', () => { source.close(); say('The view was ended; what is here is its last state.'); });
source.addEventListener('update', (event) => {
	for (const { id, html } of JSON.parse(event.data)) waiting.set(id, html);
	flush();
});
pause.addEventListener('click', () => {
	const paused = pause.getAttribute('aria-pressed') !== 'true';
	pause.setAttribute('aria-pressed', String(paused));
	say(paused ? 'Paused.' : 'Live.');
	flush();
});
}
`;
