// SPDX-License-Identifier: Apache-2.0
// The entries of the package. A further one is a line in `exports` of package.json, one in
// `typesVersions` for old resolvers, and `src/NAME.ts` or `src/NAME/index.ts`.
import { existsSync, readFileSync } from "node:fs";

export const ROOT = new URL("../", import.meta.url);

export const manifest = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8"));

/** By the name of the built file: where it is imported from, its source, and what is exported. */
export const entries = Object.entries(manifest.exports)
  .filter(([, exported]) => typeof exported !== "string")
  .map(([path, exported]) => {
    const name = path === "." ? "index" : path.slice("./".length);
    const sources = [`src/${name}.ts`, `src/${name}.tsx`, `src/${name}/index.ts`];
    const source = sources.find((file) => existsSync(new URL(file, ROOT)));
    if (source === undefined) throw new Error(`${path} has no source: ${sources.join(", ")}`);
    const specifier = path === "." ? manifest.name : `${manifest.name}/${name}`;
    return { name, source, specifier, exported };
  });
