"""fetch_httpx.py URL COUNT: seconds that httpx and asyncio.gather take for so many addresses, all at once, no connection open."""
import asyncio
import sys
import time

import httpx


async def main(url, count):
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        begin = time.perf_counter()
        answers = await asyncio.gather(*[client.get(f"{url}/{i}") for i in range(count)])
        took = time.perf_counter() - begin
    assert all(a.status_code == 200 for a in answers)
    print(took)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
