#include "fcgi/params.h"

#include <stdint.h>

#include "core/limits.h"
#include "core/uuid.h"

enum param {
    REQUEST_METHOD,
    DOCUMENT_URI,
    REQUEST_URI,
    QUERY_STRING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    REQUEST_ID,
    HTTP_ACCEPT,
    HTTP_PREFER,
    HTTP_IF_NONE_MATCH,
    HTTP_IDEMPOTENCY_KEY,
    PARAM_COUNT
};

static const struct {
    const char *name;
    size_t most;
} params[PARAM_COUNT] = {
    [REQUEST_METHOD] = {"REQUEST_METHOD", LIMIT_NAME},
    [DOCUMENT_URI] = {"DOCUMENT_URI", LIMIT_PATH},
    [REQUEST_URI] = {"REQUEST_URI", 3 * LIMIT_PATH + LIMIT_QUERY},
    [QUERY_STRING] = {"QUERY_STRING", LIMIT_QUERY},
    [CONTENT_LENGTH] = {"CONTENT_LENGTH", LIMIT_NAME},
    [CONTENT_TYPE] = {"CONTENT_TYPE", LIMIT_HEADER},
    [REQUEST_ID] = {"REQUEST_ID", LIMIT_NAME},
    [HTTP_ACCEPT] = {"HTTP_ACCEPT", LIMIT_HEADER},
    [HTTP_PREFER] = {"HTTP_PREFER", LIMIT_HEADER},
    [HTTP_IF_NONE_MATCH] = {"HTTP_IF_NONE_MATCH", LIMIT_HEADER},
    [HTTP_IDEMPOTENCY_KEY] = {"HTTP_IDEMPOTENCY_KEY", LIMIT_HEADER},
};

struct values {
    struct span of[PARAM_COUNT];
};

/* The first of a name counts. */
static struct values collect(char *const *list)
{
    struct values v = {0};
    for (; *list; list++) {
        struct span value = span_of(*list), name = span_cut(&value, '=');
        for (size_t i = 0; i < PARAM_COUNT; i++) {
            if (v.of[i].ptr || !span_is(name, params[i].name))
                continue;
            v.of[i] = value.ptr ? value : SPAN("");
            break;
        }
    }
    return v;
}

static bool printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Empties the values that are too long or hold control characters; says so of the first. */
static bool check_values(struct values *v, struct err *e)
{
    bool good = true;
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        bool fits = v->of[i].len <= params[i].most, clean = printable(v->of[i]);
        if (fits && clean)
            continue;
        if (good && !fits)
            err_at(e, ERR_TOO_LARGE, params[i].name, "%s has %zu bytes, more than the %zu that are allowed",
                   params[i].name, v->of[i].len, params[i].most);
        else if (good)
            err_at(e, ERR_BAD_REQUEST, params[i].name, "%s holds a control character", params[i].name);
        v->of[i] = SPAN("");
        good = false;
    }
    return good;
}

static enum method method_of(struct span s)
{
    static const char *const names[] = {
        [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
        [METHOD_PUT] = "PUT", [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(s, names[i]))
            return (enum method)i;
    return METHOD_OTHER;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool percent_decode(struct arena *a, struct span s, struct span *ret, struct err *e)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            out[n++] = s.ptr[i];
            continue;
        }
        int high = i + 2 < s.len ? hex(s.ptr[i + 1]) : -1, low = i + 2 < s.len ? hex(s.ptr[i + 2]) : -1;
        if (high < 0 || low < 0)
            return err_at(e, ERR_BAD_REQUEST, "path",
                          "a %% in the path is not followed by two hexadecimal digits");
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret = (struct span){out, n};
    return true;
}

/* nginx gives DOCUMENT_URI decoded; a server that does not set it gives REQUEST_URI as the client wrote it. */
static bool path_of(const struct values *v, struct arena *a, struct span *ret, struct err *e)
{
    struct span path = v->of[DOCUMENT_URI];
    if (path.len == 0) {
        struct span uri = v->of[REQUEST_URI];
        if (!percent_decode(a, span_cut(&uri, '?'), &path, e))
            return false;
    } else {
        path = arena_copy(a, path);
    }
    if (path.len > LIMIT_PATH)
        return err_at(e, ERR_TOO_LARGE, "path", "the path has %zu bytes, more than the %u that are allowed",
                      path.len, LIMIT_PATH);
    if (path.len == 0 || path.ptr[0] != '/')
        return err_at(e, ERR_BAD_REQUEST, "path", "the path does not begin with a slash");
    if (!printable(path))
        return err_at(e, ERR_BAD_REQUEST, "path", "the path holds a control character");
    *ret = path;
    return true;
}

static bool length_of(struct span s, int64_t *ret, struct err *e)
{
    int64_t n = 0;
    if (s.len > 0 && (!span_to_int(s, &n) || n < 0))
        return err_at(e, ERR_BAD_REQUEST, "CONTENT_LENGTH", "CONTENT_LENGTH is not a length");
    *ret = n;
    return true;
}

/* It is written into headers, logs and documents as it is: anything but a plain word gets a new one. */
static struct span request_id_of(struct span given, struct arena *a)
{
    bool plain = given.len > 0;
    for (size_t i = 0; i < given.len; i++) {
        char c = given.ptr[i];
        plain = plain && ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
                          c == '_' || c == '.' || c == ':');
    }
    if (plain)
        return arena_copy(a, given);
    char text[UUID_TEXT];
    uuid_format(uuid_v7(), text);
    return arena_copy(a, span_of(text));
}

static struct span keep(struct arena *a, struct span s)
{
    return s.len > 0 ? arena_copy(a, s) : SPAN("");
}

/* A caller that sends one counts on it that a request which comes twice is run once. */
static bool no_idempotency_key(struct span s, struct err *e)
{
    return s.len == 0 || err_at(e, ERR_BAD_REQUEST, "Idempotency-Key",
                                "the header Idempotency-Key is not supported: nothing would keep a request "
                                "that comes twice from being run twice");
}

bool params_read(char *const *list, struct arena *a, struct request *req, int64_t *ret_length, struct err *e)
{
    struct values v = collect(list);
    bool good = check_values(&v, e);
    *req = (struct request){
        .method = method_of(v.of[REQUEST_METHOD]),
        .path = SPAN(""),
        .query = keep(a, v.of[QUERY_STRING]),
        .body = SPAN(""),
        .content_type = keep(a, v.of[CONTENT_TYPE]),
        .accept = keep(a, v.of[HTTP_ACCEPT]),
        .prefer = keep(a, v.of[HTTP_PREFER]),
        .if_none_match = keep(a, v.of[HTTP_IF_NONE_MATCH]),
        .request_id = request_id_of(v.of[REQUEST_ID], a),
    };
    int64_t length = 0;
    good = good && path_of(&v, a, &req->path, e) && length_of(v.of[CONTENT_LENGTH], &length, e) &&
           no_idempotency_key(v.of[HTTP_IDEMPOTENCY_KEY], e);
    if (good)
        *ret_length = length;
    return good;
}
