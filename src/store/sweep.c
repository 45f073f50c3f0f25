/*
 * sweep.c: keeps `work` small. A claim begins at the front of the index, where the units stood that were claimed before:
 * with 400,000 of them not vacuumed yet it took 12 ms to pass by. Autovacuum looks once a minute; who keeps house looks
 * whenever it reaps, on a connection that is open for the time of the vacuum.
 */
#include "store/inside.h"

#define SWEEP_DEAD 20000
#define SWEEP_OPEN_MS 1000

void sweep(struct store_worker *w, int64_t dead)
{
    if (w->sweeping && !db_script_over(&w->sweeper, clock_now()))
        return;
    w->sweeping =
        dead >= SWEEP_DEAD && db_script_start(&w->sweeper, "VACUUM (SKIP_LOCKED, TRUNCATE off) work, leases",
                                              clock_after_ms(SWEEP_OPEN_MS), NULL);
}
