/*
 * crew.h: `threads` reactors over one work, the calling thread being one of them. Their reports go to the sink one at a
 * time. Always gets the work done: where a thread cannot be had the others do its share.
 */
#ifndef LATHE_EXEC_CREW_H
#define LATHE_EXEC_CREW_H

#include "exec/work.h"

#define CREW_STACK (256 * 1024) /* bytes of stack of a thread that runs handlers */

/* `threads` lanes, zeroed and each on a cache line of its own. Released with mem_free. */
struct lane *lanes_new(int64_t threads);

/* Returns when all is done or stopped. `lanes`: one for each thread, zeroed. */
void crew_run(const struct work *w, int64_t threads, const struct sink *sink, struct lane *lanes,
              struct tally *ret);

#endif
