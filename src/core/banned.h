/* Functions that are compile errors in Lathe, and what to use in their place.
 *
 * The build includes this file before the first line of every source file. The headers that declare these names
 * come first, so that only our own calls meet the macros. A .c file that must call one (a test, say) says why and
 * writes #undef. */
#ifndef LATHE_CORE_BANNED_H
#define LATHE_CORE_BANNED_H

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* glibc has some of them as macros already. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef stpcpy
#undef sprintf
#undef vsprintf
#undef gets
#undef scanf
#undef sscanf
#undef fscanf
#undef alloca
#undef atoi
#undef atol
#undef atoll
#undef atof
#undef strtok
#undef gmtime
#undef localtime
#undef ctime
#undef ctime_r
#undef asctime
#undef asctime_r
#undef strerror
#undef rand
#undef srand
#undef random
#undef srandom
#undef drand48
#undef ttyname
#undef system
#undef popen
#undef mktemp
#undef tmpnam
#undef tempnam
#undef mkstemp
#undef dup
#undef pipe
#undef vfork
#undef sleep
#undef usleep
#undef alarm
#undef signal
#undef select

#define BANNED(name, instead) sorry_##name##_is_banned_use_##instead

/* No bound, or a bound that cuts without a word */
#define strcpy(...) BANNED(strcpy, buf)
#define strcat(...) BANNED(strcat, buf)
#define strncpy(...) BANNED(strncpy, buf)
#define strncat(...) BANNED(strncat, buf)
#define stpcpy(...) BANNED(stpcpy, buf)
#define sprintf(...) BANNED(sprintf, snprintf_or_buf)
#define vsprintf(...) BANNED(vsprintf, vsnprintf_or_buf)
#define gets(...) BANNED(gets, getline)
#define scanf(...) BANNED(scanf, a_parser)
#define sscanf(...) BANNED(sscanf, a_parser)
#define fscanf(...) BANNED(fscanf, a_parser)
#define alloca(...) BANNED(alloca, arena)

/* No word of an error */
#define atoi(...) BANNED(atoi, strtol)
#define atol(...) BANNED(atol, strtol)
#define atoll(...) BANNED(atoll, strtoll)
#define atof(...) BANNED(atof, strtod)

/* State shared by all threads */
#define strtok(...) BANNED(strtok, strtok_r)
#define gmtime(...) BANNED(gmtime, gmtime_r)
#define localtime(...) BANNED(localtime, localtime_r)
#define ctime(...) BANNED(ctime, strftime)
#define ctime_r(...) BANNED(ctime_r, strftime)
#define asctime(...) BANNED(asctime, strftime)
#define asctime_r(...) BANNED(asctime_r, strftime)
#define strerror(...) BANNED(strerror, strerror_r)
#define rand(...) BANNED(rand, getrandom)
#define srand(...) BANNED(srand, getrandom)
#define random(...) BANNED(random, getrandom)
#define srandom(...) BANNED(srandom, getrandom)
#define drand48(...) BANNED(drand48, getrandom)
#define ttyname(...) BANNED(ttyname, ttyname_r)

/* A shell, a race, or a descriptor that children inherit */
#define system(...) BANNED(system, posix_spawn)
#define popen(...) BANNED(popen, posix_spawn)
#define mktemp(...) BANNED(mktemp, mkostemp)
#define tmpnam(...) BANNED(tmpnam, mkostemp)
#define tempnam(...) BANNED(tempnam, mkostemp)
#define mkstemp(...) BANNED(mkstemp, mkostemp_with_O_CLOEXEC)
#define dup(...) BANNED(dup, fcntl_F_DUPFD_CLOEXEC)
#define pipe(...) BANNED(pipe, pipe2_with_O_CLOEXEC)
#define vfork(...) BANNED(vfork, posix_spawn)

/* Waiting and signals that depend on luck */
#define sleep(...) BANNED(sleep, a_deadline)
#define usleep(...) BANNED(usleep, a_deadline)
#define alarm(...) BANNED(alarm, a_deadline)
#define signal(...) BANNED(signal, sigaction)
#define select(...) BANNED(select, poll)

#endif
