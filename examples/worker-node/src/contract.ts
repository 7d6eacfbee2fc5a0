// The messages of runyard.worker.v1 that a worker reads and writes, and a channel to run control.
import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface CallRef {
  tool_call_id: string;
  attempt: number;
  fence: string;
}

export interface Call {
  ref: CallRef;
  tool_id: string;
  arguments_json: string;
  idempotency_key: string;
  effect_class: string;
  resume: { sealed_state: Buffer; answer_json: string } | null;
}

export interface NeedInput {
  ref: CallRef;
  question: string;
  sealed_state: Buffer;
}

/** Whether a lost call took effect, and with which result. */
export interface Finding {
  effect: "EFFECT_DONE" | "EFFECT_NONE" | "EFFECT_UNKNOWN";
  content?: string;
}

export interface Probe {
  ref: CallRef;
  tool_id: string;
  arguments_json: string;
  idempotency_key: string;
}

export interface Result {
  ref: CallRef;
  succeeded?: { content: string };
  failed?: { code: string; message: string; retryable: boolean };
  cancelled?: { effect: string };
}

export interface Duration {
  seconds: string;
  nanos: number;
}

export interface Welcome {
  heartbeat_interval: Duration;
  lease: Duration;
  verdicts: { call: CallRef; action: string }[];
}

/** What run control says; exactly one is set, and `message` names it. */
export interface FromServer {
  message: string;
  welcome?: Welcome;
  call?: Call;
  go?: { ref: CallRef };
  lease?: { calls: { ref: CallRef; until_time: unknown }[] };
  cancel?: { ref: CallRef };
  probe?: Probe;
  result_ack?: { ref: CallRef };
}

/** What the worker says; exactly one is set. */
export interface FromWorker {
  hello?: object;
  credit?: { calls: number };
  accept?: { ref: CallRef };
  heartbeat?: { calls: { ref: CallRef; progress_seq: number; note: string }[] };
  result?: Result;
  probe_result?: Finding & { ref: CallRef };
  need_input?: NeedInput;
  drain?: object;
  handback?: { ref: CallRef };
}

export type Stream = grpc.ClientDuplexStream<FromWorker, FromServer>;

const root = fileURLToPath(new URL("../../..", import.meta.url));

const definition = loadSync("runyard/worker/v1/worker_service.proto", {
  includeDirs: [`${root}/protos`, `${root}/third_party`],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

interface Client extends grpc.Client {
  Session(metadata: grpc.Metadata): Stream;
}

interface Package {
  runyard: {
    worker: {
      v1: {
        ToolWorkerService: new (target: string, credentials: grpc.ChannelCredentials) => Client;
      };
    };
  };
}

const { ToolWorkerService } = (grpc.loadPackageDefinition(definition) as unknown as Package).runyard
  .worker.v1;

/** A client of run control, found as the command `runyard` finds it. */
export function connect(): Client {
  return new ToolWorkerService(target(), credentials());
}

function target(): string {
  const entries = setting("RUNYARD_ENDPOINTS").split(",");
  const found = entries.find((entry) => entry.trim().startsWith("runcontrol="));
  return found?.trim().slice("runcontrol=".length) ?? "127.0.0.1:7403";
}

/** TLS when RUNYARD_CA_FILE is set, and mutual TLS with the other two files. */
function credentials(): grpc.ChannelCredentials {
  const [ca, key, certificate] = ["RUNYARD_CA_FILE", "RUNYARD_KEY_FILE", "RUNYARD_CERT_FILE"].map(
    (name) => (setting(name) ? readFileSync(setting(name)) : null),
  );
  return ca ? grpc.credentials.createSsl(ca, key, certificate) : grpc.credentials.createInsecure();
}

/** The token of RUNYARD_TOKEN_FILE, read for each session, or of RUNYARD_TOKEN. */
export function bearer(): grpc.Metadata {
  const file = setting("RUNYARD_TOKEN_FILE");
  const token = file ? readFileSync(file, "utf8").trim() : setting("RUNYARD_TOKEN");
  const metadata = new grpc.Metadata();
  if (!token) return metadata;
  const insecure = ["1", "true", "yes", "on"].includes(setting("RUNYARD_INSECURE").toLowerCase());
  if (!setting("RUNYARD_CA_FILE") && !insecure && !staysHere(target())) {
    throw new Error(
      `the token would travel unencrypted to ${target()}: set RUNYARD_CA_FILE, or accept the ` +
        "risk with RUNYARD_INSECURE=true",
    );
  }
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

function staysHere(address: string): boolean {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return address.startsWith("unix:") || host === "localhost" || host === "::1" || isLoopback(host);
}

function isLoopback(host: string): boolean {
  return isIPv4(host) && host.startsWith("127.");
}

function setting(name: string): string {
  return process.env[name] ?? "";
}

export function milliseconds(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function isSame(one: CallRef, other: CallRef): boolean {
  return (
    one.tool_call_id === other.tool_call_id &&
    one.attempt === other.attempt &&
    one.fence === other.fence
  );
}
