// SPDX-License-Identifier: Apache-2.0
// Tests in a real Chromium. The long ones, `*.long.test.ts`, wait for what a browser does by the
// minute: LONGCALL_BROWSER=long runs those too.
import { defineConfig } from "vitest/config";

const { LONGCALL_BROWSER } = process.env;

export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    exclude: LONGCALL_BROWSER === "long" ? [] : ["**/*.long.test.ts"],
    maxWorkers: 3, // they wait for seconds more than they compute
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
