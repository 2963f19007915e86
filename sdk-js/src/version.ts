// SPDX-License-Identifier: Apache-2.0

/** The version of this package. */
export const VERSION = "0.1.0";
