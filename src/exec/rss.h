/*
 * rss.h: memory of this process, in KiB. The kernel keeps the peak of the resident set (VmHWM) and lets a process set
 * it back, so that a peak is exact and costs nothing while the work runs.
 */
#ifndef LATHE_EXEC_RSS_H
#define LATHE_EXEC_RSS_H

#include <stdint.h>

int rss_open(
    void); /* a descriptor for rss_mark; a process that is about to be non-dumpable opens it before. -1: none */
void rss_mark(int fd);         /* the peak starts anew from here; -1: nothing happens */
int64_t rss_peak_kib(void);    /* since the mark, of everything resident */
int64_t rss_shared_kib(void);  /* file pages and shared memory, now */
int64_t rss_space_bytes(void); /* address space, now */

#endif
