// SPDX-License-Identifier: Apache-2.0
// What is published: its version, its contents, both kinds of module, and no dependency.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import * as source from "../src/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));

beforeAll(() => {
  execFileSync(process.execPath, ["scripts/build.mjs"], { cwd: root });
}, 60_000);

test("the version is that of the manifest, and nothing is needed at run time", () => {
  expect(source.VERSION).toBe(manifest.version);
  expect(manifest.dependencies).toBeUndefined();
  expect(manifest.peerDependenciesMeta.ws).toEqual({ optional: true });
});

test("both kinds of module give the same names", async () => {
  const names = Object.keys(source).sort();
  const esm = await import(`${root}/dist/esm/index.js`);
  const cjs = createRequire(import.meta.url)(`${root}/dist/cjs/index.js`);
  expect(Object.keys(esm).sort()).toEqual(names);
  expect(Object.keys(cjs).sort()).toEqual(names);
});

test("every file that the manifest names is packed, and no source or test", () => {
  const packed: { path: string }[] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  )[0].files;
  const paths = packed.map(({ path }) => path);
  const { import: esm, require: cjs } = manifest.exports["."];
  for (const named of [esm.types, esm.default, cjs.types, cjs.default]) {
    expect(existsSync(`${root}/${named}`), named).toBe(true);
    expect(paths).toContain(named.replace("./", ""));
  }
  expect(paths).toContain("README.md");
  expect(paths).toContain("LICENSE");
  expect(paths.filter((path) => !/^(dist\/|README|LICENSE|package\.json)/.test(path))).toEqual([]);
}, 60_000);

test("each kind of module has its declarations, which need nothing that is not packed", () => {
  for (const kind of ["esm", "cjs"]) {
    const seen = new Set<string>();
    const pending = [`${root}/dist/${kind}/index.d.ts`];
    for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      const text = readFileSync(file, "utf8");
      for (const [, path = ""] of text.matchAll(/from "(\.[^"]*)\.js"/g)) {
        pending.push(fileURLToPath(new URL(`${path}.d.ts`, `file://${file}`)));
      }
    }
    expect(seen.size).toBeGreaterThan(5);
  }
});
