/*
 * params.h: the FastCGI parameters of a request, as libfcgi lists them ("NAME=value"), made into a struct request. They
 * come through nginx from a stranger. Everything kept is copied into the arena.
 */
#ifndef LATHE_FCGI_PARAMS_H
#define LATHE_FCGI_PARAMS_H

#include "api/call.h"

/*
 * `list` ends with NULL. On false *req is still good for a problem document: method and request_id are set, the spans
 * that could not be taken are empty. *ret_length is CONTENT_LENGTH, 0 if there is none.
 */
bool params_read(char *const *list, struct arena *a, struct request *req, int64_t *ret_length,
                 struct err *e) LATHE_CHECK;

#endif
