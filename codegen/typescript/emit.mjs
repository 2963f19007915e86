// SPDX-License-Identifier: Apache-2.0
// The part of emit_typescript.py that needs tools of the npm world: types by json-schema-to-typescript,
// the style by biome. Reads a job from standard input:
//   {document, header, messages, enums, checks: {Client: [Title…], Server: [Title…]}, files: {name: text}}
// and writes {name: text} to standard output: `files`, messages.ts and validators.ts, all formatted.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { messagesModule } from "./messages.mjs";
import { validatorsModule } from "./validators.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

/** Returns the files in biome's style, by the configuration beside this script. */
function formatted(files) {
  const folder = mkdtempSync(join(tmpdir(), "longcall-codegen-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const biome = createRequire(import.meta.url).resolve("@biomejs/biome/bin/biome");
    const done = spawnSync(
      process.execPath,
      [biome, "check", "--write", "--linter-enabled=false", `--config-path=${HERE}`, folder],
      { encoding: "utf8" },
    );
    if (done.status !== 0) throw new Error(`biome: ${done.stderr || done.stdout || done.error}`);
    return Object.fromEntries(
      Object.keys(files).map((name) => [name, readFileSync(join(folder, name), "utf8")]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const job = JSON.parse(readFileSync(0, "utf8"));
const files = {
  ...job.files,
  "messages.ts": job.header + (await messagesModule(job)),
  "validators.ts": job.header + validatorsModule(job),
};
process.stdout.write(JSON.stringify(formatted(files)));
