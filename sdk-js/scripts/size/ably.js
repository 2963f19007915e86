// SPDX-License-Identifier: Apache-2.0
export { Realtime } from "ably";
