// SPDX-License-Identifier: Apache-2.0
// @vitest-environment happy-dom
import * as React from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { suite } from "./suite.js";

test("this is React 19", () => expect(React.version).toMatch(/^19\./));

suite("React 19", React, { createRoot, renderToString });
