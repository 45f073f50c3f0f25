// graphile-worker: node graphile.mjs CONNINFO COUNT. Prints {"bulk": rate, "drain": rate}; the drain is counted from the
// first job to the last, start-up outside.
import pg from "pg";
import { makeWorkerUtils, run, runMigrations } from "graphile-worker";

const [connectionString, count] = [process.argv[2], Number(process.argv[3])];
const logger = new (await import("graphile-worker")).Logger(() => () => {});
const pool = new pg.Pool({ connectionString, max: 12 });
await runMigrations({ pgPool: pool, logger });
const utils = await makeWorkerUtils({ pgPool: pool, logger });

const PIECE = 10000;
let begin = process.hrtime.bigint();
for (let i = 0; i < count; i += PIECE) {
  const specs = Array.from({ length: Math.min(PIECE, count - i) }, (_, k) => ({ identifier: "nothing", payload: { n: i + k } }));
  await utils.addJobs(specs);
}
const bulk = count / (Number(process.hrtime.bigint() - begin) / 1e9);

let first = 0n, done = 0, resolve;
const over = new Promise((r) => (resolve = r));
const preset = { worker: { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0 } };
const runner = await run({
  pgPool: pool, logger, preset,
  taskList: {
    nothing: async () => {
      if (done++ === 0) first = process.hrtime.bigint();
      if (done === count) resolve();
    },
  },
});
await over;
while ((await pool.query("select count(*)::int n from graphile_worker._private_jobs")).rows[0].n > 0) { /* until written */ }
const drain = count / (Number(process.hrtime.bigint() - first) / 1e9);
const rss = process.memoryUsage().rss;
await runner.stop();
await utils.release();
console.log(JSON.stringify({ bulk, drain, rss_mib: rss / 1048576 }));
process.exit(0);
