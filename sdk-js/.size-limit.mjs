// SPDX-License-Identifier: Apache-2.0
// What a page loads, minified and gzipped; `npm run size` prints it. Limits are for us; the others
// are measured in the same way, each by what an application imports to connect.
import { readdirSync } from "node:fs";

/** Leaves out what is loaded later, by `import()`: the code of the first download. */
export const later = {
  name: "later",
  setup(build) {
    build.onResolve({ filter: /^\./ }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path, external: true } : undefined,
    );
  },
};

function check(name, path, imported, limit) {
  return {
    name,
    path,
    ...(imported && { import: imported }),
    ...(limit && { limit }),
    gzip: true,
    modifyEsbuildConfig: (config) => ({
      ...config,
      format: "esm",
      plugins: [...(config.plugins ?? []), later],
    }),
  };
}

export default [
  check("longcall", "dist/index.js", "{ connect }", "17.5 kB"),
  check("longcall, all that it exports", "dist/index.js", "*", "18 kB"),
  check("longcall, one class of errors", "dist/index.js", "{ WaitTimeoutError }", "600 B"),
  check("longcall, its version", "dist/index.js", "{ VERSION }", "100 B"),
  ...readdirSync(new URL("scripts/size/", import.meta.url)).map((file) =>
    check(file.replace(/\.js$/, ""), `scripts/size/${file}`),
  ),
];
