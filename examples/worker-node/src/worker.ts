// A worker: sessions with run control, one after the other, and the calls that outlive them.
import { randomUUID } from "node:crypto";
import {
  type Call,
  type CallRef,
  type Finding,
  type FromServer,
  type FromWorker,
  type Probe,
  type NeedInput,
  type Result,
  type Stream,
  type Welcome,
  bearer,
  connect,
  isSame,
  milliseconds,
} from "./contract.js";

const AWAITS_GO = new Set(["EFFECT_CLASS_RECONCILABLE", "EFFECT_CLASS_AT_MOST_ONCE"]);
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;

/** What a tool is told of its call. */
export interface Context {
  call: Call;
  /** Aborted when the result is not wanted any more. */
  signal: AbortSignal;
  progress(note: string): void;
  /** Ends the attempt; the next one is executed from its beginning and gets the answer here. */
  ask(question: string): unknown;
}

/** What ends an attempt with a question. */
class Asked {
  constructor(
    readonly question: string,
    readonly sealedState: Buffer,
  ) {}
}

/** How an attempt asks: the answers to earlier questions come first, in their order. */
function asking({ resume }: Call): (question: string) => unknown {
  const said: [string, unknown][] = [];
  if (resume?.sealed_state.length) {
    const state = JSON.parse(resume.sealed_state.toString()) as Sealed;
    said.push(...state.said, [state.asked, JSON.parse(resume.answer_json)]);
  }
  const left = [...said];
  return (asked) => {
    const at = left.findIndex(([question]) => question === asked);
    const found = at < 0 ? undefined : left.splice(at, 1)[0];
    if (found) return found[1];
    throw new Asked(asked, Buffer.from(JSON.stringify({ said, asked, kept: {} })));
  };
}

/** The state of a call that has asked, as the Python library seals it. */
interface Sealed {
  said: [string, unknown][];
  asked: string;
}

export interface Tool {
  call(args: Record<string, unknown>, context: Context): Promise<string>;
  /** Of a reconcilable tool: whether a lost call took effect. */
  probe?(args: Record<string, unknown>, idempotencyKey: string): Promise<Finding>;
}

/** A call that was taken. */
interface Attempt {
  call: Call;
  started: boolean;
  notes: number;
  note: string;
  stopping: AbortController;
}

export class Worker {
  private readonly instanceId = randomUUID();
  private readonly attempts = new Map<string, Attempt>();
  private readonly unacknowledged = new Map<string, Result>();
  // Also those that were given up and have not stopped yet.
  private readonly executing = new Set<string>();
  private readonly questions = new Map<string, NeedInput>();
  private stream: Stream | undefined;
  private draining = false;
  private failures = 0;

  constructor(
    private readonly workerId: string,
    private readonly tools: Record<string, Tool>,
    private readonly room: number,
  ) {}

  /** Serve until SIGTERM or SIGINT, and then until all that has begun is reported. */
  async run(): Promise<void> {
    for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => this.drain());
    while (!this.isDone()) {
      // A new client is a new connection: the one before may be dead without being closed.
      const client = connect();
      await this.converse(client.Session(bearer()));
      client.close();
      const bound = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.failures++);
      if (!this.isDone()) await new Promise((then) => setTimeout(then, Math.random() * bound));
    }
  }

  /** One session, to its end. */
  private converse(stream: Stream): Promise<void> {
    return new Promise((ended) => {
      let beating: NodeJS.Timeout | undefined;
      let silence: NodeJS.Timeout | undefined;
      let leaseMs = 0;
      const end = () => {
        clearInterval(beating);
        clearTimeout(silence);
        if (this.stream === stream) this.stream = undefined;
        stream.cancel();
        ended();
      };
      stream.on("data", (message: FromServer) => {
        if (message.welcome) {
          this.failures = 0;
          leaseMs = milliseconds(message.welcome.lease);
          beating = setInterval(() => this.beat(), milliseconds(message.welcome.heartbeat_interval));
        }
        clearTimeout(silence);
        // Every heartbeat is answered, three in a lease: after two that were not, the connection is
        // gone, and what runs here has to be brought along before its lease ends.
        if (leaseMs) silence = setTimeout(end, (leaseMs * 2) / 3);
        this.hear(message);
        if (this.isDone()) end();
      });
      stream.on("error", (error) => {
        if (!this.isDone()) console.error(`run control: ${error.message}`);
        end();
      });
      stream.on("end", end);
      this.stream = stream;
      this.say({
        hello: {
          worker_id: this.workerId,
          instance_id: this.instanceId,
          min_protocol: 1,
          max_protocol: 1,
          tools: Object.keys(this.tools).map((tool_id) => ({ tool_id })),
          inflight: [
            ...[...this.attempts.values()].map((attempt) => attempt.call.ref),
            ...[...this.questions.values()].map((question) => question.ref),
          ],
          undelivered_results: [...this.unacknowledged.values()],
        },
      });
    });
  }

  private hear(message: FromServer): void {
    if (message.welcome) this.welcomed(message.welcome);
    else if (message.call) this.take(message.call);
    else if (message.go) this.go(message.go.ref);
    else if (message.lease) {
      for (const each of message.lease.calls) if (!each.until_time) this.giveUp(each.ref);
    } else if (message.cancel) this.cancel(message.cancel.ref);
    else if (message.probe) void this.find(message.probe);
    else if (message.result_ack) {
      const { ref } = message.result_ack;
      for (const kept of [this.unacknowledged, this.questions]) {
        const held = kept.get(ref.tool_call_id);
        if (held && isSame(held.ref, ref)) kept.delete(ref.tool_call_id);
      }
    }
  }

  private welcomed(welcome: Welcome): void {
    for (const each of welcome.verdicts) {
      if (each.action !== "ACTION_ABANDON") continue;
      this.giveUp(each.call);
      const asked = this.questions.get(each.call.tool_call_id);
      if (asked && isSame(asked.ref, each.call)) this.questions.delete(each.call.tool_call_id);
    }
    for (const need_input of this.questions.values()) this.say({ need_input });
    for (const { call, started } of this.attempts.values()) {
      // Go may have been lost with the session; it is given again.
      if (!started) this.say({ accept: { ref: call.ref } });
    }
    const calls = this.room - this.attempts.size;
    if (calls > 0 && !this.draining) this.say({ credit: { calls } });
  }

  private take(call: Call): void {
    if (this.draining) {
      this.say({ handback: { ref: call.ref } });
      return;
    }
    const earlier = this.attempts.get(call.ref.tool_call_id);
    if (earlier) this.giveUp(earlier.call.ref);
    const stopping = new AbortController();
    const attempt = { call, started: false, notes: 0, note: "", stopping };
    this.attempts.set(call.ref.tool_call_id, attempt);
    this.say({ accept: { ref: call.ref } });
    if (!AWAITS_GO.has(call.effect_class)) void this.execute(attempt);
  }

  private go(ref: CallRef): void {
    const attempt = this.held(ref);
    if (attempt && !attempt.started) void this.execute(attempt);
  }

  /** Stop an attempt that is another worker's, or nobody's, now. */
  private giveUp(ref: CallRef): void {
    const attempt = this.held(ref);
    if (!attempt) return;
    this.attempts.delete(ref.tool_call_id);
    attempt.stopping.abort();
    if (!this.draining) this.say({ credit: { calls: 1 } });
  }

  private cancel(ref: CallRef): void {
    const attempt = this.held(ref);
    if (attempt?.started) attempt.stopping.abort();
    else if (attempt) this.report({ ref, cancelled: { effect: "EFFECT_NONE" } });
  }

  private async execute(attempt: Attempt): Promise<void> {
    attempt.started = true;
    const { call, stopping } = attempt;
    this.executing.add(call.ref.tool_call_id);
    const progress = (note: string) => {
      attempt.notes += 1;
      attempt.note = note;
    };
    try {
      const tool = this.tools[call.tool_id];
      if (!tool) throw new Error(`there is no tool ${call.tool_id}`);
      const args = JSON.parse(call.arguments_json) as Record<string, unknown>;
      const ask = asking(call);
      const content = await tool.call(args, { call, signal: stopping.signal, progress, ask });
      this.report({ ref: call.ref, succeeded: { content } });
    } catch (error) {
      if (error instanceof Asked) {
        const { question, sealedState } = error;
        this.question({ ref: call.ref, question, sealed_state: sealedState });
      } else if (stopping.signal.aborted) {
        this.report({ ref: call.ref, cancelled: { effect: "EFFECT_UNKNOWN" } });
      } else {
        const message = error instanceof Error ? error.message : "the tool failed";
        this.report({ ref: call.ref, failed: { code: "FAILED", message, retryable: false } });
      }
    } finally {
      this.executing.delete(call.ref.tool_call_id);
    }
  }

  /** Say what has become of a lost attempt; nothing is known while it may still run here. */
  private async find(probe: Probe): Promise<void> {
    const { ref, tool_id, arguments_json, idempotency_key } = probe;
    const tool = this.tools[tool_id];
    let found: Finding = { effect: "EFFECT_UNKNOWN" };
    try {
      if (tool?.probe && !this.executing.has(ref.tool_call_id)) {
        const args = JSON.parse(arguments_json) as Record<string, unknown>;
        found = await tool.probe(args, idempotency_key);
      }
    } catch (error) {
      console.error(`the probe of ${tool_id} failed:`, error);
    }
    this.say({ probe_result: { ref, ...found } });
  }

  /** Report an attempt, unless it was given up meanwhile. */
  private report(result: Result): void {
    if (!this.held(result.ref)) return;
    this.attempts.delete(result.ref.tool_call_id);
    this.unacknowledged.set(result.ref.tool_call_id, result);
    this.say({ result });
    if (!this.draining) this.say({ credit: { calls: 1 } });
  }

  /** End an attempt with a question, unless it was given up meanwhile. */
  private question(question: NeedInput): void {
    if (!this.held(question.ref)) return;
    this.attempts.delete(question.ref.tool_call_id);
    this.questions.set(question.ref.tool_call_id, question);
    this.say({ need_input: question });
    if (!this.draining) this.say({ credit: { calls: 1 } });
  }

  private beat(): void {
    const calls = [...this.attempts.values()].map((attempt) => ({
      ref: attempt.call.ref,
      progress_seq: attempt.notes,
      note: attempt.note,
    }));
    this.say({ heartbeat: { calls } });
  }

  /** Take no more calls, and give back those that have not started. */
  private drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.say({ drain: {} });
    for (const { call, started } of [...this.attempts.values()]) {
      if (started) continue;
      this.attempts.delete(call.ref.tool_call_id);
      this.say({ handback: { ref: call.ref } });
    }
    if (this.isDone()) this.stream?.end();
  }

  private isDone(): boolean {
    const open = this.attempts.size + this.unacknowledged.size + this.questions.size;
    return this.draining && open === 0;
  }

  private held(ref: CallRef): Attempt | undefined {
    const attempt = this.attempts.get(ref.tool_call_id);
    return attempt && isSame(attempt.call.ref, ref) ? attempt : undefined;
  }

  private say(message: FromWorker): void {
    this.stream?.write(message);
  }
}
