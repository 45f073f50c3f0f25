/*
 * wire.h: the words of FastCGI 1.0 that the front itself speaks. (libfcgi's fastcgi.h has them as macros, among others
 * that are not wanted here.)
 */
#ifndef LATHE_FCGI_WIRE_H
#define LATHE_FCGI_WIRE_H

enum fcgi_wire {
    FCGI_HEADER = 8, /* bytes: version, type, id (2), content length (2), padding length, 0 */
    FCGI_VERSION = 1,
};

enum fcgi_type {
    FCGI_BEGIN = 1, /* content, 8 bytes: role (2), flags */
    FCGI_END = 3,   /* content, 8 bytes: all 0 is "complete" */
    FCGI_PARAMS = 4,
    FCGI_STDIN = 5,
    FCGI_STDOUT = 6,
};

enum { FCGI_RESPONDER = 1, FCGI_KEEP_CONN = 1 };

#endif
