/**
 * native/contract against the types of lib/native.ts: what the addon says of itself, from the field lists and tables of
 * names that convert every value, and what the TypeScript compiler reads.
 */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import { nativeAddon } from '../../lib/native.js';
import { collapseMonitors } from '../../lib/objective/collapse-monitors.js';
import { AntiCollapse } from '../../lib/objective/latent.js';

type Described =
	| string
	| { readonly oneOf: readonly string[] }
	| { readonly orNull: Described }
	| { readonly arrayOf: Described }
	| { readonly fields: Readonly<Record<string, Described>> };

const file = (name: string) => fileURLToPath(new URL(`../../../lib/${name}`, import.meta.url));
const sources = [file('native.ts'), file('native-probes.ts'), file('types.ts')];
const program = ts.createProgram(sources, {
	target: ts.ScriptTarget.ES2023,
	module: ts.ModuleKind.NodeNext,
	moduleResolution: ts.ModuleResolutionKind.NodeNext,
	strict: true,
	exactOptionalPropertyTypes: true,
	noEmit: true,
	types: ['node'],
});
const checker = program.getTypeChecker();
const exported = new Map<string, ts.Symbol>();
for (const source of sources) {
	const symbol = checker.getSymbolAtLocation(program.getSourceFile(source)!);
	for (const each of symbol === undefined ? [] : checker.getExportsOfModule(symbol)) exported.set(each.name, each);
}

/** Where a type of TypeScript is not what the addon converts: one line each. */
function differences(described: Described, type: ts.Type, place: string): string[] {
	const found = checker.typeToString(type);
	const unless = (holds: boolean, expected: string) =>
		holds ? [] : [`${place} is ${found} but the core has ${expected}`];
	if (described === 'number') return unless((type.flags & ts.TypeFlags.Number) !== 0, 'number');
	if (described === 'string') return unless((type.flags & ts.TypeFlags.String) !== 0, 'string');
	if (described === 'boolean') return unless((type.flags & ts.TypeFlags.Boolean) !== 0, 'boolean');
	if (typeof described === 'string') {
		const values = /^Record<string, (\w+)>$/.exec(described)?.[1];
		if (values === undefined) return unless(type.symbol?.name === described, described);
		const index = checker.getIndexInfoOfType(type, ts.IndexKind.String);
		return index === undefined ? unless(false, described) : differences(values, index.type, `${place}[key]`);
	}
	if ('oneOf' in described) {
		const members = type.isUnion() ? type.types : [type];
		const names = members.map((member) => (member.isStringLiteral() ? member.value : checker.typeToString(member)));
		return unless(names.toSorted().join() === described.oneOf.toSorted().join(), described.oneOf.join(' | '));
	}
	if ('orNull' in described) {
		const absent = type.isUnion() && type.types.some(({ flags }) => (flags & ts.TypeFlags.Null) !== 0);
		return [
			...unless(absent, 'null when it is absent'),
			...differences(described.orNull, checker.getNonNullableType(type), place),
		];
	}
	if ('arrayOf' in described) {
		if (!checker.isArrayType(type)) return unless(false, 'an array');
		return differences(described.arrayOf, checker.getTypeArguments(type as ts.TypeReference)[0]!, `${place}[i]`);
	}
	const properties = new Map(checker.getPropertiesOfType(type).map((property) => [property.name, property]));
	const names = Object.keys(described.fields);
	return [
		...[...properties.keys()]
			.filter((name) => !names.includes(name))
			.map((name) => `${place}.${name} is unknown to the core`),
		...names.flatMap((name) => {
			const property = properties.get(name);
			if (property === undefined) return [`${place}.${name} is missing in lib/native.ts`];
			return differences(described.fields[name]!, checker.getTypeOfSymbol(property), `${place}.${name}`);
		}),
	];
}

const { antiCollapse, collapseMonitors: monitors, ...described } = nativeAddon().contract();

t.test('every type that crosses the border is in TypeScript what it is in the core', async (t) => {
	t.ok(Object.keys(described).length >= 18, 'the list is whole');
	for (const [name, each] of Object.entries(described)) {
		const symbol = exported.get(name);
		t.ok(symbol, `${name} is exported`);
		t.same(differences(each as Described, checker.getDeclaredTypeOfSymbol(symbol!), name), [], name);
	}
});

t.test('the comparison sees a field that is missing, one too many, and one of another type', async (t) => {
	const { NativeLossOptions, NativeSaveOptions } = described as Record<string, { fields: Record<string, Described> }>;
	const type = (name: string) => checker.getDeclaredTypeOfSymbol(exported.get(name)!);
	const { seed: _, ...fewer } = NativeLossOptions!.fields;
	t.match(differences({ fields: fewer }, type('NativeLossOptions'), 'x'), ['x.seed is unknown to the core']);
	const more = { ...NativeLossOptions!.fields, temperature: 'number' };
	t.match(differences({ fields: more }, type('NativeLossOptions'), 'x'), ['x.temperature is missing in lib/native.ts']);
	const other = { ...NativeSaveOptions!.fields, dtype: 'number' };
	t.match(differences({ fields: other }, type('NativeSaveOptions'), 'x'), [/^x\.dtype is .* but the core has number$/]);
	const choice = { ...NativeLossOptions!.fields, nextTokenOn: { oneOf: ['future'] } };
	t.match(differences({ fields: choice }, type('NativeLossOptions'), 'x'), [
		/nextTokenOn is .* but the core has future/,
	]);
});

t.test('terms and monitors that are named by tables are the same on both sides', async (t) => {
	t.same(Object.keys(AntiCollapse.shape), antiCollapse);
	t.same(Object.keys(collapseMonitors), monitors);
});
