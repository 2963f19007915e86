// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["tests/browser/**"], // vitest.browser.config.ts
    setupFiles: ["tests/leaks.ts"],
    testTimeout: 10_000,
    dangerouslyIgnoreUnhandledErrors: false,
  },
});
