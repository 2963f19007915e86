// SPDX-License-Identifier: Apache-2.0
// Schedules of lost connections, goaways, refusals, lost events and slow readers.
import { expect, test } from "vitest";
import { World } from "./simulation.js";

const { LONGCALL_SIMULATION_SEEDS: seeds = "200" } = process.env;

// clause: 9.2.3
test("the client keeps its promises whatever happens", () => {
  for (let seed = 0; seed < Number(seeds); seed++) {
    expect(() => new World(seed).run(400), `seed ${seed}`).not.toThrow();
  }
}, 600_000);
