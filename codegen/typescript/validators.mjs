// SPDX-License-Identifier: Apache-2.0
import { Ajv } from "ajv";
import standaloneCode from "ajv/dist/standalone/index.js";
import { transformSync } from "esbuild";

// The keywords that check something; all others are words for people or for generators.
const CHECKS = new Set(
  "additionalProperties const items maxItems maxLength maxProperties maximum minItems minLength minimum pattern properties propertyNames required type $ref".split(
    " ",
  ),
);

// ajv would import this helper from its own package.
const CODE_POINTS = 'require("ajv/dist/runtime/ucs2length").default';
const CODE_POINTS_SOURCE = `
function codePoints(text) {
  let length = 0;
  for (const _ of text) length++;
  return length;
}`;

const FACADE_SOURCE = `
function check(checks, message) {
  const validate = checks.get(message.type);
  if (validate === undefined) return { pointer: "/type", rule: "enum" };
  if (validate(message)) return undefined;
  // The defect of a key is told twice: by what is wrong with it, and by the object that has it.
  const { instancePath, keyword, params } = validate.errors[validate.errors.length - 1];
  const member = keyword === "required" ? params.missingProperty : params.propertyName;
  if (member === undefined) return { pointer: instancePath, rule: keyword };
  const escaped = member.replaceAll("~", "~0").replaceAll("/", "~1");
  return { pointer: instancePath + "/" + escaped, rule: keyword };
}`;

/** Returns validators.js: the type of a message picks the validator that ajv made for it. */
export function validatorsModule({ document, checks }) {
  const ajv = new Ajv({
    code: { source: true, esm: true, optimize: 2 },
    inlineRefs: false, // smaller: each definition is one function
    messages: false,
    strict: true,
  });
  ajv.addSchema({ $defs: simplified(document.$defs) }, "bundle");
  const titles = new Set(Object.values(checks).flatMap((table) => Object.values(table)));
  const refs = Object.fromEntries([...titles].map((title) => [title, `bundle#/$defs/${title}`]));
  const source = standaloneCode
    .default(ajv, refs)
    .replace(/^"use strict";/, "")
    .replace(/export const /g, "const ")
    .replaceAll(CODE_POINTS, "codePoints");
  if (source.includes("require(")) throw new Error("ajv's code needs another helper of its own");
  return shaken([source, CODE_POINTS_SOURCE, FACADE_SOURCE, ...Object.entries(checks).map(facade)]);
}

/** Returns validators.d.ts. */
export function validatorsTypes({ checks }) {
  const functions = Object.keys(checks).map(
    (side) => `
/** Returns the first defect of a message of a ${side.toLowerCase()}, or \`undefined\` if it has none. */
export function check${side}Message(message: { readonly type: string }): Defect | undefined;

/** True for the types of message that a ${side.toLowerCase()} sends. */
export function is${side}Type(type: string): type is ${side}Message["type"];
`,
  );
  const names = Object.keys(checks).map((side) => `${side}Message`);
  return `
import type { ${names.join(", ")} } from "./messages.js";

/** Where a message breaks its schema. */
export interface Defect {
  /** The JSON Pointer of the value, or the one that a missing value would have. */
  readonly pointer: string;
  /** The keyword of JSON Schema that it breaks. */
  readonly rule: string;
}
${functions.join("")}`;
}

function facade([side, table]) {
  const entries = Object.entries(table).map(([type, title]) => `["${type}", ${title}]`);
  const constant = `${side.toUpperCase()}_CHECKS`;
  return `
const ${constant} = /* @__PURE__ */ new Map([${entries.join(", ")}]);
export function check${side}Message(message) { return check(${constant}, message); }
export function is${side}Type(type) { return ${constant}.has(type); }`;
}

/** Lets esbuild leave out what nothing uses, which is the copies of the schemas in ajv's code. */
function shaken(parts) {
  const { code } = transformSync(parts.join("\n"), {
    format: "esm",
    target: "es2022",
    treeShaking: true,
    legalComments: "none",
  });
  return code;
}

/**
 * Returns the definitions with nothing but what is to be checked, and with each simple inline type
 * as a definition of its own, so that ajv writes it once. The property \`type\` of a message has
 * picked the validator before, so it is not checked again.
 */
function simplified(definitions) {
  const shared = new Map();
  const isAny = (name) => definitions[name]["x-longcall-any-json"] === true;

  function use(schema) {
    if (schema.$ref)
      return isAny(schema.$ref.slice("#/$defs/".length)) ? {} : { $ref: schema.$ref };
    const simple = strip(schema);
    if (!["integer", "number", "string"].includes(simple.type)) return simple;
    const key = JSON.stringify(simple);
    if (!shared.has(key)) shared.set(key, [`simple${shared.size}`, simple]);
    return { $ref: `#/$defs/${shared.get(key)[0]}` };
  }

  function strip(schema) {
    const kept = Object.fromEntries(Object.entries(schema).filter(([key]) => CHECKS.has(key)));
    if (kept.properties) {
      const properties = Object.entries(kept.properties).filter(
        ([name, { const: constant }]) => name !== "type" || constant === undefined,
      );
      kept.properties = Object.fromEntries(properties.map(([name, value]) => [name, use(value)]));
      kept.required = kept.required?.filter((name) => name in kept.properties);
      if (!kept.required?.length) delete kept.required;
    }
    for (const key of ["items", "additionalProperties", "propertyNames"]) {
      if (kept[key]) kept[key] = use(kept[key]);
    }
    return kept;
  }

  const named = Object.entries(definitions).filter(
    ([name, schema]) => !isAny(name) && !schema.oneOf,
  );
  const stripped = named.map(([name, schema]) => [name, strip(schema)]);
  return Object.fromEntries([...stripped, ...shared.values()]);
}
