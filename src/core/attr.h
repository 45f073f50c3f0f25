/*
 * attr.h: the compiler attributes that the headers use, by name.
 *
 * LATHE_CHECK    the result must be looked at (every function that fills a struct err)
 * LATHE_PRINTF   printf-like: format at argument F, values from argument V
 * CLEANUP(f)     call f(&variable) when the variable leaves its scope; replaces goto ladders
 */
#ifndef LATHE_CORE_ATTR_H
#define LATHE_CORE_ATTR_H

#define LATHE_CHECK __attribute__((warn_unused_result))
#define LATHE_PRINTF(F, V) __attribute__((format(printf, F, V)))
#define LATHE_NORETURN __attribute__((noreturn))
#define LATHE_NONNULL_RESULT __attribute__((returns_nonnull))
#define LATHE_MALLOC __attribute__((malloc, returns_nonnull))
#define CLEANUP(f) __attribute__((cleanup(f)))
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
