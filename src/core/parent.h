/*
 * parent.h: what a process and the `lathe serve` that started it owe each other. serve may die without a word (kill -9, no
 * memory): its processes end then as if it had told them to, so that the next serve finds the way free.
 */
#ifndef LATHE_CORE_PARENT_H
#define LATHE_CORE_PARENT_H

/* The supervisor, once and before its first start: the processes that it starts follow it. */
void parent_lead(void);

/* In main, after sig_block and before the first thread: from here on the end of the serve that started this process is a
 * SIG_STOP to it. Without such a parent it does nothing. */
void parent_follow(void);

/* Asks for a successor at once, while this process still finishes what it has (SIG_REPLACE). Does nothing without a
 * serve. */
void parent_ask_successor(void);

#endif
