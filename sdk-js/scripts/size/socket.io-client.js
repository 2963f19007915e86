// SPDX-License-Identifier: Apache-2.0
export { io } from "socket.io-client";
