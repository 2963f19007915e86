// SPDX-License-Identifier: Apache-2.0
// The part of the generated validators that is the same for every schema; validators.mjs puts it
// behind the tables.

/** Where a message breaks its schema. */
export interface Defect {
  /** The JSON Pointer of the value, or the one that a missing value would have. */
  readonly pointer: string;
  /** The keyword of JSON Schema that it breaks. */
  readonly rule: string;
}

/** What a value must be. Lengths count code points; fields that are not named may be anything. */
type Schema =
  | readonly [kind: typeof ANY]
  | readonly [kind: typeof BOOLEAN]
  | readonly [kind: typeof INTEGER, minimum: number, maximum?: number]
  | readonly [kind: typeof NUMBER, minimum: number, maximum: number]
  | readonly [kind: typeof STRING, minimum: number, maximum?: number | undefined, pattern?: RegExp]
  | readonly [kind: typeof ARRAY, minimum: number, maximum: number | undefined, items: Schema]
  | readonly [kind: typeof MAP, maximum: number, names: Schema, values: Schema]
  | readonly [kind: typeof OBJECT, required: Fields, optional?: Fields];

type Of<Kind> = Extract<Schema, readonly [Kind, ...unknown[]]>;
type Fields = Readonly<Record<string, Schema>>;
type Values = Readonly<Record<string, unknown>>;

const ANY = 0;
const BOOLEAN = 1;
const INTEGER = 2;
const NUMBER = 3;
const STRING = 4;
const ARRAY = 5;
const MAP = 6;
const OBJECT = 7;

/** Returns the first defect of a message; its type picks its schema. */
function checkMessage(messages: Fields, message: { readonly type: string }): Defect | undefined {
  const schema = Object.hasOwn(messages, message.type) ? messages[message.type] : undefined;
  return schema ? check(message, schema) : { pointer: "/type", rule: "enum" };
}

/** Returns the first defect of a value: its place is put together on the way back from it. */
function check(value: unknown, schema: Schema): Defect | undefined {
  switch (schema[0]) {
    case BOOLEAN:
      return typeof value === "boolean" ? undefined : here("type");
    case INTEGER:
      return Number.isInteger(value) ? checkNumber(value as number, schema) : here("type");
    case NUMBER:
      return Number.isFinite(value) ? checkNumber(value as number, schema) : here("type");
    case STRING:
      return typeof value === "string" ? checkString(value, schema) : here("type");
    case ARRAY:
      return Array.isArray(value) ? checkArray(value, schema) : here("type");
    case MAP:
      return isObject(value) ? checkMap(value, schema) : here("type");
    case OBJECT:
      return isObject(value) ? checkObject(value, schema) : here("type");
    default:
      return undefined;
  }
}

function checkNumber(
  value: number,
  [, minimum, maximum = Number.MAX_SAFE_INTEGER]: Of<typeof INTEGER | typeof NUMBER>,
): Defect | undefined {
  if (value >= minimum && value <= maximum) return undefined;
  return here(minimum === maximum ? "const" : value < minimum ? "minimum" : "maximum");
}

function checkString(
  value: string,
  [, minimum, maximum = value.length, pattern]: Of<typeof STRING>,
): Defect | undefined {
  // Lengths are in code points, of which no text has more than units.
  if (value.length > maximum && [...value].length > maximum) return here("maxLength");
  if (value.length < minimum) return here("minLength");
  return !pattern || pattern.test(value) ? undefined : here("pattern");
}

function checkArray(
  value: readonly unknown[],
  [, minimum, maximum = value.length, items]: Of<typeof ARRAY>,
): Defect | undefined {
  if (value.length > maximum) return here("maxItems");
  if (value.length < minimum) return here("minItems");
  for (const [index, item] of value.entries()) {
    const defect = check(item, items);
    if (defect) return within(index, defect);
  }
  return undefined;
}

function checkMap(value: Values, [, maximum, names, values]: Of<typeof MAP>): Defect | undefined {
  const entries = Object.entries(value);
  if (entries.length > maximum) return here("maxProperties");
  for (const [name, item] of entries) {
    const defect = check(name, names) ? here("propertyNames") : check(item, values);
    if (defect) return within(name, defect);
  }
  return undefined;
}

function checkObject(value: Values, [, required, optional]: Of<typeof OBJECT>): Defect | undefined {
  for (const name in required) if (value[name] === undefined) return within(name, here("required"));
  return checkFields(value, required) ?? checkFields(value, optional);
}

function checkFields(value: Values, fields: Fields = {}): Defect | undefined {
  for (const name in fields) {
    const [item, schema] = [value[name], fields[name]];
    const defect = item !== undefined && schema && check(item, schema);
    if (defect) return within(name, defect);
  }
  return undefined;
}

function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function here(rule: string): Defect {
  return { pointer: "", rule };
}

function within(name: string | number, { pointer, rule }: Defect): Defect {
  const token = String(name).replaceAll("~", "~0").replaceAll("/", "~1");
  return { pointer: `/${token}${pointer}`, rule };
}
