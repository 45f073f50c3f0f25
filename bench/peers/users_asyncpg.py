"""users_asyncpg.py CONNINFO COUNT: seconds that asyncpg's COPY takes for so many rows, from when they are there until they are committed."""
import asyncio
import sys
import time

import asyncpg


async def main(conninfo, count):
    where = dict(word.split("=", 1) for word in conninfo.split())
    rows = [(f"user-{i}@example.com", f"User {i}") for i in range(count)]
    c = await asyncpg.connect(host=where["host"], database=where["dbname"], user=where["user"])
    begin = time.perf_counter()
    await c.copy_records_to_table("peers", records=rows, columns=["email", "name"])
    print(time.perf_counter() - begin)
    await c.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
