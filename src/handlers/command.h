/* command.h: the sections [command NAME] of the settings as handlers. */
#ifndef LATHE_HANDLERS_COMMAND_H
#define LATHE_HANDLERS_COMMAND_H

#include "core/conf.h"
#include "model/handler.h"

/* Adds a handler for each; once at start. ERR_CONFIG names the line of the file. */
bool commands_open(const struct conf *c, struct err *e) LATHE_CHECK;

/* The words of a program's line: split at blanks and line ends, quotes of both kinds keep them, and nothing else means
 * anything. NULL-terminated, from the arena; NULL with *e: a quote is not closed, there is none, or more than
 * LIMIT_COMMAND_WORDS. */
char **command_words(struct arena *a, struct span line, struct err *e);

#endif
