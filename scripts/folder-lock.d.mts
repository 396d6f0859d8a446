/** Who holds a lock. */
export interface LockOwner {
	readonly pid: number;
	readonly host: string;
	readonly token: string;
}

export interface Lock {
	release(): void;
}

/** Takes a lock folder if no living process holds it; else says who does, as far as that is known. */
export function takeLock(
	lock: string,
):
	| { readonly lock: Lock; readonly holder?: undefined }
	| { readonly lock?: undefined; readonly holder: Partial<LockOwner> };

/** Runs `work` while no other process does, waiting for the one that does. */
export function withLock<T>(
	lock: string,
	work: () => Promise<T>,
	onWait?: (owner: Partial<LockOwner>) => void,
): Promise<T>;
