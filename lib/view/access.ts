import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** A name that nobody guesses, for an address. */
export function newToken(): string {
	return randomBytes(24).toString('base64url');
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Whether both are the same, in a time that does not tell how much of it is. */
export function sameToken(given: string, token: string): boolean {
	return timingSafeEqual(digest(given), digest(token));
}

/**
 * Why a request is not answered; undefined for one of a page of ours. Another site's page can make a browser ask this
 * server, under a name of its own that it lets point to 127.0.0.1: the browser then says which name and which site it was.
 */
export function refusal({ headers }: IncomingMessage, port: number): string | undefined {
	const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
	if (headers.host === undefined || !hosts.includes(headers.host.toLowerCase())) return 'another Host';
	const { origin } = headers;
	if (origin !== undefined && !hosts.some((host) => origin.toLowerCase() === `http://${host}`)) return 'another Origin';
	const site = headers['sec-fetch-site'];
	if (site !== undefined && site !== 'same-origin' && site !== 'none' && headers['sec-fetch-mode'] !== 'navigate')
		return 'a page of another site';
	return undefined;
}
