/* fcgi/params.h: a line is a parameter, as libfcgi lists it. What is taken keeps to its limits and is clean. */
#include "fuzz/replay.h"

#include "core/limits.h"
#include "core/mem.h"
#include "fcgi/params.h"

#define LIST_MOST 64

static size_t split(char *text, char **list)
{
    size_t n = 0;
    for (char *end; n < LIST_MOST - 1 && (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        list[n++] = text;
    }
    list[n++] = text;
    list[n] = NULL;
    return n;
}

static void check_clean(struct span s, size_t most)
{
    MUST(s.len <= most);
    for (size_t i = 0; i < s.len; i++)
        MUST((unsigned char)s.ptr[i] >= 0x20 || s.ptr[i] == '\t');
}

static void check(const struct request *r)
{
    check_clean(r->path, LIMIT_PATH);
    check_clean(r->query, LIMIT_QUERY);
    check_clean(r->content_type, LIMIT_HEADER);
    check_clean(r->accept, LIMIT_HEADER);
    check_clean(r->prefer, LIMIT_HEADER);
    check_clean(r->if_none_match, LIMIT_HEADER);
    check_clean(r->request_id, LIMIT_NAME);
    MUST(r->request_id.len > 0 && !memchr(r->request_id.ptr, ' ', r->request_id.len));
    MUST(r->method >= METHOD_GET && r->method <= METHOD_OTHER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct request req;
    struct err e = ERR_INIT;
    int64_t length = -1;
    char *text = mem_alloc(size + 1), *list[LIST_MOST + 1];
    if (size > 0)
        memcpy(text, data, size);
    split(text, list);
    bool good = params_read(list, &a, &req, &length, &e);
    mem_free(text);
    MUST(good == (e.code == ERR_NONE));
    MUST(good == (length >= 0));
    MUST(!good || (req.path.len > 0 && req.path.ptr[0] == '/'));
    check(&req);
    return 0;
}

FUZZ_MAIN("params")
