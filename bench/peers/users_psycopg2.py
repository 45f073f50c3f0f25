"""users_psycopg2.py CONNINFO COUNT: seconds that execute_values takes for so many rows, from when they are there until they are committed."""
import sys
import time

import psycopg2
import psycopg2.extras

rows = [(f"user-{i}@example.com", f"User {i}") for i in range(int(sys.argv[2]))]
c = psycopg2.connect(sys.argv[1])
begin = time.perf_counter()
psycopg2.extras.execute_values(c.cursor(), "INSERT INTO peers (email, name) VALUES %s ON CONFLICT DO NOTHING RETURNING id", rows,
                               page_size=1000)
c.commit()
print(time.perf_counter() - begin)
