// A steady stream of jobs, and how long each took from its submission until it was done: node steady.mjs graphile CONNINFO RATE SECONDS,
// or bullmq SOCKET RATE SECONDS. Both with what they recommend for a quick start of a job. Nobody else hears of the end: client and worker
// are one process, without HTTP between them. Prints {"p50": ms, "p99": ms}.
const [peer, where, rate, seconds] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
const began = new Map(), took = [];
const now = () => Number(process.hrtime.bigint()) / 1e6;
const ended = (n) => took.push(now() - began.get(n));

// How a job is sent.
async function graphile() {
  const { default: pg } = await import("pg");
  const { makeWorkerUtils, run, runMigrations, Logger } = await import("graphile-worker");
  const logger = new Logger(() => () => {});
  const pgPool = new pg.Pool({ connectionString: where, max: 12 });
  await runMigrations({ pgPool, logger });
  const utils = await makeWorkerUtils({ pgPool, logger });
  const runner = await run({ pgPool, logger, concurrency: 8, taskList: { nothing: async () => {} } });
  runner.events.on("job:complete", ({ job }) => ended(job.payload.n));
  return (n) => utils.addJob("nothing", { n });
}

async function bullmq() {
  const { Queue, Worker } = await import("bullmq");
  const connection = { path: where, maxRetriesPerRequest: null };
  const queue = new Queue("steady", { connection });
  new Worker("steady", async () => 0, { connection, concurrency: 8 }).on("completed", (job) => ended(job.data.n));
  return (n) => queue.add("n", { n }, { removeOnComplete: true });
}

const send = await { graphile, bullmq }[peer]();
const count = rate * seconds, warm = rate; // those of the first second do not count
const first = now();
for (let n = 0; n < count + warm; n++) {
  const wait = first + (n * 1000) / rate - now();
  if (wait > 0) await new Promise((r) => setTimeout(r, wait));
  began.set(n, now());
  send(n);
}
while (took.length < count + warm) await new Promise((r) => setTimeout(r, 20));
const sorted = took.slice(warm).sort((a, b) => a - b);
console.log(JSON.stringify({ p50: sorted[sorted.length >> 1], p99: sorted[Math.floor(sorted.length * 0.99)] }));
process.exit(0);
