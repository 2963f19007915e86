// SPDX-License-Identifier: Apache-2.0
// What is published: its version, its contents, both kinds of module, and types for every resolver.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as source from "../../src/index.js";
import { type Packed, pack, ROOT, run } from "./pack.js";
import { PLATFORMS, runProgram, startServer } from "./platforms.js";

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const sources = Object.fromEntries(
  ["usage.ts", "types.ts"].map((name) => [
    name,
    readFileSync(join(ROOT, "tests/packed", name), "utf8"),
  ]),
);
let packed: Packed;

beforeAll(() => {
  packed = pack();
}, 60_000);

afterAll(() => packed?.remove());

/** What each entry exports, by its name: `.`, `./testing`, … */
const entries = Object.entries<{ [kind: string]: { types: string; default: string } }>(
  manifest.exports,
).filter(([, exported]) => typeof exported !== "string");

test("the version is that of the manifest, and nothing is needed at run time", () => {
  expect(source.VERSION).toBe(manifest.version);
  expect(manifest.dependencies).toBeUndefined();
  expect(manifest.peerDependenciesMeta.ws).toEqual({ optional: true });
});

test("what is packed is what the manifest names and what that needs, and no source or test", () => {
  const named = entries.flatMap(([, kinds]) => Object.values(kinds).flatMap(Object.values));
  expect(packed.files).toEqual(expect.arrayContaining(named.map((path) => path.slice(2))));
  const others = packed.files.filter((path) => !path.startsWith("dist/"));
  expect(others.sort()).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
  const odd = packed.files.filter(
    (path) => path.startsWith("dist/") && !/\.(js|cjs)(\.map)?$|\.d\.c?ts$/.test(path),
  );
  expect(odd).toEqual([]);
});

test("every file that a packed file refers to is packed, and of its own kind", () => {
  const project = packed.project({}, {});
  for (const path of packed.files.filter((file) => /\.(c?js|c?ts)$/.test(file))) {
    const text = readFileSync(join(project, "node_modules/longcall", path), "utf8");
    const code = text.replaceAll(/^\s*(\*|\/\/(?!#)).*$/gm, "");
    const [, c = ""] = /\.(c?)[jt]s$/.exec(path) ?? [];
    for (const [, module] of code.matchAll(/(?:from |import\(|require\()"(\.[^"]*)"/g)) {
      expect(module, path).toMatch(c ? /\.cjs$/ : /\.js$/);
      const file = path.includes(".d.") ? module?.replace(/\.c?js$/, `.d.${c}ts`) : module;
      expect(packed.files, path).toContain(join(path, "..", file ?? ""));
    }
    for (const [, map] of code.matchAll(/sourceMappingURL=(\S+)/g)) {
      expect(packed.files, path).toContain(join(path, "..", map ?? ""));
    }
  }
});

test("both kinds of module run in Node.js and give the same names", () => {
  const tell = "console.log(JSON.stringify([Object.keys(own).sort(), own.VERSION]))";
  const project = packed.project(
    {},
    {
      "index.mjs": `import * as own from "longcall"; ${tell}`,
      "named.mjs": `import { createRequire } from "node:module"; import * as own from "longcall";
        const { LongcallError } = createRequire(import.meta.url)("longcall");
        if (typeof LongcallError !== "function") throw new Error("no class"); ${tell}`,
      "index.cjs": `const own = require("longcall"); ${tell}`,
    },
  );
  const wanted = JSON.stringify([Object.keys(source).sort(), manifest.version]);
  for (const file of ["index.mjs", "named.mjs", "index.cjs"]) {
    expect(run(process.execPath, [file], project).trim(), file).toBe(wanted);
  }
});

test("an error that one entry throws is an instance of the class that another one exports", () => {
  for (const [suffix, load] of [
    ["mjs", "await import"],
    ["cjs", "require"],
  ] as const) {
    const names = entries.map(([path]) => path.replace(".", "longcall"));
    const code = `(async () => {
      const all = [];
      for (const name of ${JSON.stringify(names)}) all.push(${load}(name));
      const classes = new Set(all.map((own) => own.LongcallError).filter(Boolean));
      if (classes.size !== 1) throw new Error("several classes of one name");
    })()`;
    const project = packed.project({}, { [`index.${suffix}`]: code }, ["react"].filter(hasPackage));
    run(process.execPath, [`index.${suffix}`], project);
  }
});

function hasPackage(name: string): boolean {
  return name in (manifest.devDependencies as object);
}

const KINDS = {
  "an ECMAScript module in Node.js": {
    manifest: { type: "module" },
    options: { module: "nodenext", moduleResolution: "nodenext", types: ["node"], lib: ["es2022"] },
  },
  "a CommonJS module in Node.js": {
    manifest: { type: "commonjs" },
    options: { module: "nodenext", moduleResolution: "nodenext", types: ["node"], lib: ["es2022"] },
  },
  "a page that a bundler makes": {
    manifest: { type: "module" },
    options: { module: "esnext", moduleResolution: "bundler", types: [], lib: ["es2022", "dom"] },
  },
};

/** The newest TypeScript, and the oldest that the README names. */
const COMPILERS = ["", "tests/platforms"];

test.each(
  Object.entries(KINDS).flatMap(([kind, of]) => COMPILERS.map((tsc) => [kind, tsc, of] as const)),
)(
  "%s compiles under the strictest rules, and infers and refuses what it should, by sdk-js/%s",
  (_kind, compiler, { manifest, options }) => {
    const project = packed.project(
      manifest,
      {
        ...sources,
        "tsconfig.json": JSON.stringify({
          extends: "@tsconfig/strictest/tsconfig.json",
          compilerOptions: { ...options, target: "es2022", noEmit: true, skipLibCheck: false },
          files: Object.keys(sources),
        }),
      },
      ["@tsconfig/strictest", "@types/node", "undici-types"],
    );
    run(
      process.execPath,
      [join(ROOT, compiler, "node_modules/typescript/bin/tsc"), "-p", "."],
      project,
    );
  },
  60_000,
);

test("publint finds nothing, not even a suggestion", () => {
  const said = run(
    process.execPath,
    ["node_modules/publint/src/cli.js", "--strict", packed.tarball],
    ROOT,
  );
  expect(said).toContain("All good!");
}, 60_000);

test("attw finds nothing, for any entry and any resolver", () => {
  const attw = join(ROOT, "node_modules/@arethetypeswrong/cli/dist/index.js");
  const said = run(
    process.execPath,
    [attw, packed.tarball, "--profile", "strict", "-f", "json"],
    ROOT,
  );
  const { analysis } = JSON.parse(said);
  expect(analysis.problems).toEqual([]);
  for (const [path] of entries) expect(Object.keys(analysis.entrypoints)).toContain(path);
}, 60_000);

test("what a page loads is within its limits, and what it does not use it does not load", () => {
  const said = run(process.execPath, ["scripts/size.mjs"], ROOT); // fails where a limit is passed
  expect(said).toMatch(/kB {2}longcall +limit/);
  expect(said).toMatch(/kB {2}src\/generated\/validators\.ts/);
}, 60_000);

const program = readFileSync(join(ROOT, "tests/packed/smoke.mjs"), "utf8");
const example = readFileSync(join(ROOT, "examples/report.mjs"), "utf8");

const SAW = {
  echoed: { text: "é😀" },
  isTyped: true,
  events: expect.arrayContaining(["queued", "processing", 3, 4]),
  result: "done",
  file: "a,b\n1,2\n",
  states: ["ready", "reconnecting", "connecting", "ready", "closed"],
};

const WITHOUT = { "Node.js 20 and ws": [process.execPath] };

test.each(Object.entries({ ...WITHOUT, ...PLATFORMS }))(
  "in %s a program works, is connected again, and ends by itself",
  async (platform, command) => {
    const server = await startServer();
    const needsSockets = platform in WITHOUT;
    const project = packed.project(
      { type: "module", dependencies: { longcall: "*" } },
      {
        "smoke.mjs": program,
        "report.mjs": example,
        "index.mjs": `import { smoke } from "./smoke.mjs";
          ${needsSockets ? 'import WebSocket from "ws";' : "const WebSocket = undefined;"}
          await smoke(${JSON.stringify(server.url)}, WebSocket);`,
      },
      needsSockets ? ["ws"] : [],
    );
    const ran = await runProgram([...command, "index.mjs"], project);
    expect({ ...ran, stdout: "" }).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(JSON.parse(ran.stdout)).toEqual(SAW);
    const shown = await runProgram([...command, "report.mjs"], project, {
      LONGCALL_URL: server.url,
      LONGCALL_TOKEN: "token",
    });
    expect(shown).toMatchObject({ code: 0, stdout: '"row 1"\n"row 2"\nresult "done"\n' });
  },
  60_000,
);

test("in Node.js 20 alone a program is told what to write", async () => {
  const source = `import { connect, ConfigurationError } from "longcall";
    try { connect("ws://127.0.0.1/v1/connect"); }
    catch (error) { console.log(error instanceof ConfigurationError, error.message); }`;
  const project = packed.project({ type: "module" }, { "index.mjs": source });
  const { code, stdout } = await runProgram([process.execPath, "index.mjs"], project);
  const told = stdout.includes("connect(url, { token, webSocket: WebSocket })");
  expect(code).toBe(0);
  // Whoever runs these tests on a newer Node.js has a WebSocket.
  expect(told).toBe(typeof WebSocket === "undefined");
});
