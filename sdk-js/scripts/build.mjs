// SPDX-License-Identifier: Apache-2.0
// Builds dist: each entry as an ECMAScript and as a CommonJS module, with declarations for both.
//
// What entries share goes into chunks, so that what one of them throws is an instance of the class
// that another one exports. Each CommonJS file is made from the ECMAScript one beside it.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { entries, ROOT } from "./entries.mjs";

const OPTIONS = { outdir: "dist", sourcemap: true, target: "es2022", logLevel: "warning" };

process.chdir(fileURLToPath(ROOT));
rmSync("dist", { recursive: true, force: true });
await writeModules();
await writeCommonModules();
writeDeclarations();

async function writeModules() {
  await build({
    ...OPTIONS,
    entryPoints: Object.fromEntries(entries.map(({ name, source }) => [name, source])),
    bundle: true,
    splitting: true,
    packages: "external",
    platform: "neutral",
    format: "esm",
    chunkNames: "chunks/[hash]",
  });
}

async function writeCommonModules() {
  await build({
    ...OPTIONS,
    entryPoints: built(".js"),
    outbase: "dist",
    platform: "node", // names the exports, for `import` of Node.js
    format: "cjs",
    outExtension: { ".js": ".cjs" },
  });
  for (const file of built(".cjs")) {
    rewrite(file, file, /((?:require|import)\("\.[^"]*)\.js"\)/g, '$1.cjs")');
  }
}

/** Writes the declarations that the entries need, and leaves out the others. */
function writeDeclarations() {
  const typescript = fileURLToPath(import.meta.resolve("typescript/package.json"));
  const tsc = join(dirname(typescript), "bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", "dist"], {
    stdio: "inherit",
  });
  const needed = new Set();
  const pending = entries.map(({ source }) =>
    source.replace(/^src/, "dist").replace(/\.tsx?$/, ""),
  );
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const file = `${path}.d.ts`;
    if (needed.has(file)) continue;
    needed.add(file);
    for (const [, to] of readFileSync(file, "utf8").matchAll(
      /(?:from |import\()"(\.[^"]*)\.js"/g,
    )) {
      pending.push(normalize(join(dirname(file), to)));
    }
  }
  for (const file of built(".d.ts")) {
    if (!needed.has(file)) rmSync(file);
    else
      rewrite(file, file.replace(/\.ts$/, ".cts"), /((?:from |import\()"\.[^"]*)\.js"/g, '$1.cjs"');
  }
}

function built(suffix) {
  return readdirSync("dist", { recursive: true })
    .filter((file) => file.endsWith(suffix))
    .map((file) => `dist/${file}`);
}

function rewrite(from, to, pattern, replacement) {
  writeFileSync(to, readFileSync(from, "utf8").replaceAll(pattern, replacement));
}
