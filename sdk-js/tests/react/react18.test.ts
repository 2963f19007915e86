// SPDX-License-Identifier: Apache-2.0
// @vitest-environment happy-dom
import { createRequire } from "node:module";
import { expect, test, vi } from "vitest";
import { suite } from "./suite.js";

const old = createRequire(`${import.meta.dirname}/../platforms/package.json`);

vi.mock("react", async () => {
  const { createRequire } = await import("node:module");
  return createRequire(`${import.meta.dirname}/../platforms/package.json`)("react");
});

const React = old("react");

test("this is React 18", () => expect(React.version).toMatch(/^18\./));

suite("React 18", React, {
  createRoot: old("react-dom/client").createRoot,
  renderToString: old("react-dom/server").renderToString,
});
