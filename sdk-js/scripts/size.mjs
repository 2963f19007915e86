// SPDX-License-Identifier: Apache-2.0
// Prints what a page loads, beside others of the kind, and what each of our parts adds to it; fails
// where a limit of .size-limit.mjs is passed. Needs what `npm run build` makes.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transformSync } from "esbuild";
import { later } from "../.size-limit.mjs";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

const failed = table(measured());
await parts();
process.exitCode = failed ? 1 : 0;

function measured() {
  const program = fileURLToPath(import.meta.resolve("size-limit")).replace("index.js", "bin.js");
  try {
    return JSON.parse(execFileSync(process.execPath, [program, "--json"], { stdio: "pipe" }));
  } catch (error) {
    return JSON.parse(error.stdout); // a limit is passed, which is told there
  }
}

function table(rows) {
  console.log("minified and gzipped, as esbuild bundles it for a page:");
  for (const { name, size, sizeLimit, passed } of rows) {
    const limit = sizeLimit === undefined ? "" : `limit ${kilo(sizeLimit)}`;
    console.log(`${kilo(size)}  ${name.padEnd(30)} ${limit} ${passed === false ? "PASSED" : ""}`);
  }
  return rows.some(({ passed }) => passed === false);
}

/** What would be saved by leaving out the bytes of one source file, the rest being as it is. */
async function parts() {
  const { outputFiles } = await build({
    stdin: {
      contents: 'import { connect } from "./src/index.ts"; connect("");',
      resolveDir: ".",
      loader: "ts",
    },
    bundle: true,
    format: "esm",
    minifyIdentifiers: true,
    minifySyntax: true,
    write: false,
    plugins: [later],
  });
  const sections = outputFiles[0].text.split(/^ *\/\/ (?=src\/)/m).map((text) => {
    const [, name = "", code = text] = /^(src\/\S+)\n(.*)$/s.exec(text) ?? [];
    return { name, code: transformSync(code, { minifyWhitespace: true }).code };
  });
  const whole = zipped(sections);
  const rows = sections
    .map((section) => ({
      name: section.name,
      bytes: whole - zipped(sections.filter((other) => other !== section)),
    }))
    .filter(({ name }) => name)
    .sort((a, b) => b.bytes - a.bytes);
  console.log(`\nof ${kilo(whole).trim()}, what would be gone without each file:`);
  for (const { name, bytes } of rows) console.log(`${kilo(bytes)}  ${name}`);
}

function zipped(sections) {
  return gzipSync(sections.map(({ code }) => code).join(""), { level: 9 }).length;
}

function kilo(bytes) {
  return `${(bytes / 1000).toFixed(1).padStart(5)} kB`;
}
