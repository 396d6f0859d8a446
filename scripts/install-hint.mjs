// npm would run node-gyp because of binding.gyp; nothing is fetched or built by installing.
console.log('ehr-jepa: run `npx ehr-jepa setup` to find or fetch libtorch and build the addon (docs/setup.md)');
