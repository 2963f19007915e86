// SPDX-License-Identifier: Apache-2.0
// The package as it would be published: built, packed, and unpacked where a project would have it.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The package in a folder of its own, with a file for each file that `npm pack` takes. */
export interface Packed {
  /** The paths in the package. */
  readonly files: readonly string[];
  /** The tarball. */
  readonly tarball: string;
  /** Makes a project beside others, with this package, and those of `uses`, in `node_modules`. */
  project(
    manifest: object,
    files: Readonly<Record<string, string>>,
    uses?: readonly string[],
  ): string;
  remove(): void;
}

/** Builds and packs what is in this checkout. */
export function pack(): Packed {
  const folder = mkdtempSync(join(tmpdir(), "longcall-packed-"));
  run(process.execPath, ["scripts/build.mjs"], ROOT);
  const [{ files, filename }] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], ROOT),
  ) as [{ files: { path: string }[]; filename: string }];
  const tarball = join(folder, filename);
  run("tar", ["-xzf", tarball], folder);
  let projects = 0;
  return {
    files: files.map(({ path }) => path),
    tarball,
    project(manifest, sources, uses = []) {
      const project = join(folder, `project-${++projects}`);
      mkdirSync(join(project, "node_modules"), { recursive: true });
      cpSync(join(folder, "package"), join(project, "node_modules/longcall"), { recursive: true });
      for (const name of uses) {
        mkdirSync(join(project, "node_modules", name, ".."), { recursive: true });
        symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name));
      }
      writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
      for (const [name, text] of Object.entries(sources)) writeFileSync(join(project, name), text);
      return project;
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

/** Runs a program; what it says is in the error if it fails. */
export function run(program: string, parameters: readonly string[], cwd: string): string {
  try {
    return execFileSync(program, parameters, { cwd, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${parameters.join(" ")}: ${stdout ?? ""}${stderr ?? error}`);
  }
}
