// pg-boss: node pgboss.mjs CONNINFO COUNT. Prints {"bulk": rate, "drain": rate}: insert of 10,000 at once, fetch and complete
// of 500 at once.
import PgBoss from "pg-boss";

const [connectionString, count] = [process.argv[2], Number(process.argv[3])];
const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
await boss.start();
await boss.createQueue("nothing");
let begin = process.hrtime.bigint();
for (let i = 0; i < count; i += 10000)
  await boss.insert(Array.from({ length: Math.min(10000, count - i) }, (_, k) => ({ name: "nothing", data: { n: i + k } })));
const bulk = count / (Number(process.hrtime.bigint() - begin) / 1e9);
begin = process.hrtime.bigint();
let done = 0;
while (done < count) {
  const jobs = await boss.fetch("nothing", { batchSize: 500 });
  if (!jobs.length) break;
  await boss.complete("nothing", jobs.map((j) => j.id));
  done += jobs.length;
}
const drain = done / (Number(process.hrtime.bigint() - begin) / 1e9);
console.log(JSON.stringify({ bulk, drain, done, rss_mib: process.memoryUsage().rss / 1048576 }));
await boss.stop({ graceful: false });
process.exit(0);
