// BullMQ, in Redis's memory: node bullmq.mjs SOCKET COUNT. Prints {"bulk": rate, "drain": rate}.
import { Queue, Worker } from "bullmq";

const [path, count] = [process.argv[2], Number(process.argv[3])];
const connection = { path, maxRetriesPerRequest: null };
const queue = new Queue("nothing", { connection });
let begin = process.hrtime.bigint();
for (let i = 0; i < count; i += 1000)
  await queue.addBulk(Array.from({ length: Math.min(1000, count - i) }, (_, k) => ({ name: "n", data: { n: i + k } })));
const bulk = count / (Number(process.hrtime.bigint() - begin) / 1e9);
let first = 0n, done = 0, resolve;
const over = new Promise((r) => (resolve = r));
const worker = new Worker("nothing", async () => 0, { connection, concurrency: 100 });
worker.on("completed", () => {
  if (done++ === 0) first = process.hrtime.bigint();
  if (done === count) resolve();
});
await over;
const drain = count / (Number(process.hrtime.bigint() - first) / 1e9);
console.log(JSON.stringify({ bulk, drain, rss_mib: process.memoryUsage().rss / 1048576 }));
await worker.close(true);
process.exit(0);
