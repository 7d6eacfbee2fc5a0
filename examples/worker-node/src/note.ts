// The worker that `runyard worker-conformance` examines.
import { existsSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "./worker.js";

const LOOK_EVERY_MS = 20;

const worker = new Worker(
  "note-worker-node",
  {
    note: {
      async call(args, { signal, progress, ask }) {
        const line = String(args["line"]);
        await appendFile(String(args["ledger"]), `${line}\n`);
        progress(line);
        while (!existsSync(String(args["release"]))) {
          await pause(LOOK_EVERY_MS, undefined, { signal });
        }
        return args["ask"] ? `${line}: ${ask(String(args["ask"]))}` : line;
      },
      async probe(args) {
        const line = String(args["line"]);
        const ledger = String(args["ledger"]);
        const written = existsSync(ledger) ? (await readFile(ledger, "utf8")).split("\n") : [];
        return written.includes(line)
          ? { effect: "EFFECT_DONE", content: line }
          : { effect: "EFFECT_NONE" };
      },
    },
  },
  4,
);

await worker.run();
