// SPDX-License-Identifier: Apache-2.0
import { compile } from "json-schema-to-typescript";

const OPTIONS = {
  additionalProperties: false,
  bannerComment: "",
  format: false,
  ignoreMinAndMaxItems: true,
};

/**
 * Returns messages.ts: one type for each definition of the bundle, under its title.
 *
 * Each definition is compiled alone and its references are replaced by the names of their types:
 * given the whole bundle the tool would declare a type again wherever it is used (`Identifier1`…).
 */
export async function messagesModule({ document, enums }) {
  const imported = new Set();
  const parts = [];
  for (const [name, schema] of Object.entries(document.$defs)) {
    const table = schema["x-longcall-open-enum"];
    if (table !== undefined) {
      imported.add(enums[table]);
      if (name !== enums[table]) parts.push(alias(name, schema, enums[table]));
    } else if (schema["x-longcall-any-json"]) {
      parts.push(alias(name, schema, "unknown"));
    } else if (schema.oneOf) {
      parts.push(alias(name, schema, schema.oneOf.map((member) => refName(member)).join(" | ")));
    } else {
      parts.push(
        await compile(withNamedReferences({ ...schema, title: undefined }), name, OPTIONS),
      );
    }
  }
  const names = [...imported].sort().join(", ");
  const head = names && `import type { ${names} } from "./codes.js";\n\n`;
  return `\n${head}${parts.join("\n")}`;
}

function alias(name, schema, type) {
  return `/** ${schema.description} */\nexport type ${name} = ${type};\n`;
}

function refName(schema) {
  return schema.$ref.slice("#/$defs/".length);
}

function withNamedReferences(value) {
  if (Array.isArray(value)) return value.map(withNamedReferences);
  if (typeof value !== "object" || value === null) return value;
  if (typeof value.$ref === "string") {
    return { description: value.description, tsType: refName(value) };
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, withNamedReferences(inner)]),
  );
}
