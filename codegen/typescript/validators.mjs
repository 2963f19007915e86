// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

const ANY = "[ANY]";
const WALKER = new URL("./walker.ts", import.meta.url);

/**
 * Returns validators.ts: tables of what each message must be, and the one function that walks them.
 *
 * Code for each schema, as ajv writes it, is many times as large, and every page pays for that.
 */
export function validatorsModule({ document, checks }) {
  const sources = new Map();

  /** Returns the name of the table of a definition, which stands before those that use it. */
  function use(title) {
    if (document.$defs[title]["x-longcall-any-json"]) return ANY;
    const name = title[0].toLowerCase() + title.slice(1);
    if (!sources.has(name)) sources.set(name, table(document.$defs[title], title, use));
    return name;
  }

  const sides = Object.entries(checks).map(([side, titles]) =>
    facade(
      side,
      Object.entries(titles).map(([type, title]) => `${type}: ${use(title)}`),
    ),
  );
  const tables = [...sources].map(([name, source]) => `const ${name}: Schema = ${source};\n`);
  const unions = Object.keys(checks).map((side) => `${side}Message`);
  const walker = readFileSync(WALKER, "utf8").replace(/^(\/\/.*\n)+/, "");
  const head = `\nimport type { ${unions.join(", ")} } from "./messages.js";\n`;
  return [head, walker, "\n", ...tables, ...sides].join("");
}

function facade(side, entries) {
  const [constant, sender] = [`${side.toUpperCase()}_MESSAGES`, side.toLowerCase()];
  return `
const ${constant}: Fields = { ${entries.join(", ")} };

/** Returns the first defect of a message of a ${sender}, or \`undefined\` if it has none. */
export function check${side}Message(message: { readonly type: string }): Defect | undefined {
  return checkMessage(${constant}, message);
}

/** True for the types of message that a ${sender} sends. */
export function is${side}Type(type: string): type is ${side}Message["type"] {
  return Object.hasOwn(${constant}, type);
}
`;
}

/** Returns the source of the table of a schema; throws for what the walker could not tell. */
function table(schema, place, use) {
  const inner = (value, name) =>
    value.$ref ? use(value.$ref.slice("#/$defs/".length)) : table(value, `${place}/${name}`, use);
  switch (schema.type) {
    case "boolean":
      return "[BOOLEAN]";
    case "integer":
      return row("INTEGER", ...bounds(schema, place));
    case "number":
      return row("NUMBER", ...bounds(schema, place));
    case "string": {
      const { minLength = 0, maxLength, pattern } = schema;
      demand(minLength <= 1 && schema.const === undefined, place, "minLength over 1, or const");
      return row("STRING", minLength, maxLength, pattern && String(new RegExp(pattern, "u")));
    }
    case "array":
      return row("ARRAY", schema.minItems ?? 0, schema.maxItems, inner(schema.items, "items"));
    case "object": {
      if (schema.properties) return row("OBJECT", ...fields(schema, inner));
      const { maxProperties, propertyNames: names, additionalProperties: values } = schema;
      demand(maxProperties && names && values, place, "a map that is not bounded in every way");
      return row("MAP", maxProperties, inner(names, "names"), inner(values, "values"));
    }
  }
  throw new Error(`${place}: no table can be made of ${JSON.stringify(schema)}`);
}

/** Returns the least and the greatest value; the greatest is left out where it is the usual one. */
function bounds({ const: constant, minimum = constant, maximum = constant }, place) {
  const isBounded = minimum < maximum || (constant !== undefined && minimum === maximum);
  demand(isBounded, place, "without bounds, or with equal ones that are no const");
  return [minimum, maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum];
}

/** Returns the tables of the required and of the other fields, without the type of a message. */
function fields({ properties, required = [] }, inner) {
  const own = Object.entries(properties).filter(
    ([name, value]) => name !== "type" || typeof value.const !== "string", // picked the schema
  );
  return [true, false].map((isWanted) => {
    const sources = own
      .filter(([name]) => required.includes(name) === isWanted)
      .map(([name, value]) => [name, inner(value, name)])
      .filter(([, source]) => isWanted || source !== ANY) // may be absent, and may be anything
      .map(([name, source]) => `${name}: ${source}`);
    return isWanted || sources.length > 0 ? `{ ${sources.join(", ")} }` : undefined;
  });
}

function row(kind, ...items) {
  while (items.at(-1) === undefined) items.pop();
  return `[${[kind, ...items.map(String)].join(", ")}]`;
}

function demand(condition, place, what) {
  if (!condition) throw new Error(`${place}: the walker knows nothing of it: ${what}`);
}
