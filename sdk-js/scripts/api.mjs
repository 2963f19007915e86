// SPDX-License-Identifier: Apache-2.0
// The public API of each entry is committed as api/NAME.api.md. Written anew, or compared.
//
// usage: api.mjs {generate,check}
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";
import { entries, ROOT } from "./entries.mjs";

const root = fileURLToPath(ROOT);
const kept = join(root, "api");
const work = join(root, "build/api");
const silent = { default: { logLevel: "none" } };

const [, , verb] = process.argv;
if (verb !== "generate" && verb !== "check") throw new Error("usage: api.mjs {generate,check}");
const typescript = dirname(fileURLToPath(import.meta.resolve("typescript/package.json")));
const project = ["-p", join(root, "tsconfig.build.json")];
rmSync(work, { recursive: true, force: true });
mkdirSync(kept, { recursive: true });
execFileSync(
  process.execPath,
  [join(typescript, "bin/tsc"), ...project, "--outDir", join(work, "types")],
  { stdio: "inherit" },
);

const reports = entries.map((entry) => ({
  ...entry,
  file: `${entry.name.replace("/", "-")}.api.md`,
}));
const wrong = reports.flatMap(report);
const names = new Set(reports.map(({ file }) => file));
for (const file of readdirSync(kept).filter((name) => !names.has(name))) {
  if (verb === "generate") rmSync(join(kept, file));
  else wrong.push(`api/${file} is of no entry`);
}
rmSync(work, { recursive: true });
for (const line of wrong) console.error(line);
if (wrong.length > 0) console.error("`make generate` writes the public API anew");
process.exitCode = wrong.length > 0 ? 1 : 0;

/** Writes or compares the API of one entry; returns what is wrong with it. */
function report({ file, source }) {
  const types = join(work, source.replace(/^src/, "types").replace(/\.tsx?$/, ".d.ts"));
  const said = [];
  const { succeeded, apiReportChanged } = Extractor.invoke(configuration(file, types), {
    localBuild: verb === "generate",
    messageCallback(message) {
      message.handled = true;
      if (["error", "warning"].includes(message.logLevel)) said.push(message.text);
    },
  });
  if (apiReportChanged) return verb === "generate" ? [] : [`api/${file}: the API is another`];
  return succeeded ? [] : [`api/${file}: ${said.join("; ")}`];
}

function configuration(file, types) {
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: types,
      newlineKind: "lf",
      compiler: {
        overrideTsconfig: {
          extends: join(root, "tsconfig.build.json"),
          compilerOptions: { rootDir: work, types: [], skipLibCheck: true },
          include: [],
          files: [types],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: file,
        reportFolder: kept,
        reportTempFolder: join(work, "reports"),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: "error" } },
        extractorMessageReporting: silent,
        tsdocMessageReporting: silent,
      },
    },
  });
}
