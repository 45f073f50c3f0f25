/*
 * sql_query.h: what the handler sql.query takes from the settings.
 */
#ifndef LATHE_HANDLERS_SQL_QUERY_H
#define LATHE_HANDLERS_SQL_QUERY_H

#include "core/conf.h"

/* The sections [database …] and [query …]. Once at start, before there are threads and children; the texts of *c are
 * borrowed for the process's life. */
bool sql_query_open(const struct conf *c, struct err *e) LATHE_CHECK;

#endif
