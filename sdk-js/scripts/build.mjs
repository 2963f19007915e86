// SPDX-License-Identifier: Apache-2.0
// Builds dist/esm and dist/cjs, each with its declarations. Both are one file of code; the
// package.json beside each says which kind of module it is, to Node.js and to TypeScript.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

for (const [format, type] of [
  ["esm", "module"],
  ["cjs", "commonjs"],
]) {
  await build({
    entryPoints: ["src/index.ts"],
    outfile: `dist/${format}/index.js`,
    bundle: true,
    format,
    platform: "neutral",
    target: "es2022",
    sourcemap: true,
    logLevel: "warning",
  });
  writeFileSync(`dist/${format}/package.json`, `${JSON.stringify({ type })}\n`);
}

const tsc = fileURLToPath(import.meta.resolve("typescript/package.json")).replace(
  "package.json",
  "bin/tsc",
);
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", "dist/esm"], {
  stdio: "inherit",
});
mkdirSync("dist/cjs", { recursive: true });
cpSync("dist/esm", "dist/cjs", {
  recursive: true,
  filter: (path) => !/\.(js|map|json)$/.test(path),
});
