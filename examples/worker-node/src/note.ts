// The worker that `runyard worker-conformance` examines.
import { existsSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "./worker.js";

const LOOK_EVERY_MS = 20;

const worker = new Worker(
  "note-worker-node",
  {
    async note(args, { signal, progress, ask }) {
      const line = String(args["line"]);
      await appendFile(String(args["ledger"]), `${line}\n`);
      progress(line);
      while (!existsSync(String(args["release"]))) {
        await pause(LOOK_EVERY_MS, undefined, { signal });
      }
      return args["ask"] ? `${line}: ${ask(String(args["ask"]))}` : line;
    },
  },
  4,
);

await worker.run();
