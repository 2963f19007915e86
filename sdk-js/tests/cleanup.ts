// SPDX-License-Identifier: Apache-2.0

/** What is to be stopped at the end of the test, the newest first; before it is looked for leaks. */
export const cleanups: (() => unknown)[] = [];
