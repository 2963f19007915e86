// SPDX-License-Identifier: Apache-2.0
// Prints what an application that imports everything pays: minified, and minified and gzipped.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const entry = fileURLToPath(new URL("../src/index.ts", import.meta.url));
const { outputFiles, metafile } = await build({
  entryPoints: [entry],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  write: false,
  metafile: true,
  outdir: "/",
});
const [{ contents }] = outputFiles;
const [{ inputs }] = Object.values(metafile.outputs);
const parts = Object.entries(inputs).sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput);
for (const [path, { bytesInOutput }] of parts.slice(0, 8)) {
  console.log(`${String(bytesInOutput).padStart(7)}  ${path.replace(/^.*src\//, "")}`);
}
console.log(
  `minified ${contents.length} bytes, gzipped ${gzipSync(contents, { level: 9 }).length}`,
);
