import type { NativeDeviceInfo } from '../native.js';
import { gpus } from '../train/devices.js';

/** What a card can do at most, by its vendor: nothing here was measured. */
export interface CardLimits {
	/** The product whose figures these are. */
	readonly card: string;
	/** `name`: it is that product; `capability`: another of the same compute capability, whose figures may differ. */
	readonly by: 'name' | 'capability';
	/** bfloat16 products with float32 sums, FLOP/s, dense. */
	readonly flops: number;
	/** Bandwidth of memory, bytes/s. */
	readonly bandwidth: number;
}

type Product = Omit<CardLimits, 'by'> & { readonly name: RegExp };

/** The vendor's data sheets. More exact names come first. */
const products: readonly Product[] = [
	{ name: /A100.*(40GB|40 GB)/, card: 'A100 40GB', flops: gpus.a100.flops, bandwidth: 1.555e12 },
	{ name: /A100.*PCIE/i, card: 'A100 80GB PCIe', flops: gpus.a100.flops, bandwidth: 1.935e12 },
	{ name: /A100/, card: 'A100 80GB SXM', flops: gpus.a100.flops, bandwidth: 2.039e12 },
	{ name: /H100.*NVL/, card: 'H100 NVL', flops: 835e12, bandwidth: 3.9e12 },
	{ name: /H100.*PCIe/i, card: 'H100 PCIe', flops: 756e12, bandwidth: 2.0e12 },
	{ name: /H100/, card: 'H100 SXM', flops: gpus.h100.flops, bandwidth: 3.35e12 },
	{ name: /H200/, card: 'H200', flops: gpus.h200.flops, bandwidth: 4.8e12 },
	{ name: /\bB200/, card: 'B200', flops: gpus.b200.flops, bandwidth: 8.0e12 },
	{ name: /L40S/, card: 'L40S', flops: 362e12, bandwidth: 0.864e12 },
	{ name: /RTX 4090(?! (D|Laptop))/, card: 'RTX 4090', flops: 165.2e12, bandwidth: 1.008e12 },
	{ name: /RTX 5090(?! (D|Laptop))/, card: 'RTX 5090', flops: 209.5e12, bandwidth: 1.792e12 },
];

/** By major and minor number of the compute capability. */
const byCapability: Readonly<Record<string, string>> = {
	'8.0': 'A100 80GB SXM',
	'9.0': 'H100 SXM',
	'10.0': 'B200',
	'12.0': 'RTX 5090',
};

/** The limits of a card; null for one that is not in the table. */
export function cardLimits({
	name,
	major,
	minor,
}: Pick<NativeDeviceInfo, 'name' | 'major' | 'minor'>): CardLimits | null {
	const named = products.find((product) => product.name.test(name));
	const like = named ?? products.find(({ card }) => card === byCapability[`${major}.${minor}`]);
	if (like === undefined) return null;
	const { card, flops, bandwidth } = like;
	return { card, by: named === undefined ? 'capability' : 'name', flops, bandwidth };
}
