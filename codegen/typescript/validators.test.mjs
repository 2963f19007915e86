// SPDX-License-Identifier: Apache-2.0
// The walker of the generated validators beside ajv, which knows nothing of it: over every test
// vector, and over what becomes of it when one of its values is taken away or replaced.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { transformSync } from "esbuild";

const ROOT = new URL("../../", import.meta.url);
const VECTORS = new URL("schema/vectors/", ROOT);
const WRONG = [null, true, 0, 1, -1, 1.5, 201, 2 ** 53, "", "a", "A", "/~", "x".repeat(17_000)];
const WRONG_TOO = ["😀".repeat(128), "😀".repeat(129), [], ["a", "/"], Array(17).fill("a"), {}];
const KEYS = { "a/~b": 1, ["k".repeat(65)]: "v" };
const REPLACEMENTS = [
  ...WRONG,
  ...WRONG_TOO,
  KEYS,
  Object.fromEntries([...Array(33).keys()].entries()),
];

const read = (path) => readFileSync(new URL(path, ROOT), "utf8");
const bundle = JSON.parse(read("schema/bundle.json"));
const { code } = transformSync(read("sdk-js/src/generated/validators.ts"), { loader: "ts" });
const walker = await import(`data:text/javascript,${encodeURIComponent(code)}`);

const ajv = new Ajv2020({
  allErrors: true,
  discriminator: true,
  messages: false,
  strict: false,
  strictNumbers: true,
});
ajv.addSchema(bundle, "bundle");

function validator(side) {
  return ajv.getSchema(`bundle#/$defs/${side}`);
}

/** Every defect that ajv sees, in the words of the walker. */
function defects(validate, message) {
  if (validate(message)) return [];
  return validate.errors.map(({ instancePath, keyword, params }) => {
    const member = keyword === "required" ? params.missingProperty : params.propertyName;
    if (member === undefined) return `${keyword} at ${instancePath}`;
    return `${keyword} at ${instancePath}/${escaped(member)}`;
  });
}

function escaped(name) {
  return String(name).replaceAll("~", "~0").replaceAll("/", "~1");
}

/** The message, and every message that differs from it in one place. */
function* mutations(message) {
  yield message;
  for (const path of paths(message)) {
    yield changed(message, path, (holder, key) => delete holder[key]);
    for (const value of REPLACEMENTS) {
      yield changed(message, path, (holder, key) => {
        holder[key] = value;
      });
    }
  }
}

function* paths(value, path = []) {
  if (path.length > 0) yield path;
  if (typeof value !== "object" || value === null || path.length === 4) return;
  for (const key of Object.keys(value).slice(0, 40)) yield* paths(value[key], [...path, key]);
}

function changed(message, path, change) {
  const copy = structuredClone(message);
  const holder = path.slice(0, -1).reduce((value, key) => value[key], copy);
  change(holder, path.at(-1));
  return copy;
}

for (const side of ["Client", "Server"]) {
  test(`messages of a ${side.toLowerCase()}: ajv sees each defect, and no other message has one`, () => {
    const [validate, check] = [validator(`${side}Message`), walker[`check${side}Message`]];
    const counts = { right: 0, wrong: 0 };
    for (const file of readdirSync(VECTORS).filter((name) => name.endsWith(".json"))) {
      for (const { direction, text } of JSON.parse(read(`schema/vectors/${file}`))) {
        if (direction !== side.toLowerCase()) continue;
        let message;
        try {
          message = JSON.parse(text);
        } catch {
          continue;
        }
        if (typeof message?.type !== "string" || text.length > 20_000) continue;
        for (const mutant of mutations(message)) {
          if (!walker[`is${side}Type`](mutant.type)) continue;
          const found = check(mutant);
          const seen = defects(validate, mutant);
          if (found === undefined) assert.deepEqual(seen, [], JSON.stringify(mutant));
          else
            assert.ok(
              seen.includes(`${found.rule} at ${found.pointer}`),
              JSON.stringify([found, seen, mutant]),
            );
          counts[found === undefined ? "right" : "wrong"] += 1;
        }
      }
    }
    assert.ok(counts.right > 1_000 && counts.wrong > 10_000, JSON.stringify(counts));
  });
}
