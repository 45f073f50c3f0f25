/* A call's way in: found, judged, handed to its route. */
#include "api/inside.h"
#include "api/prefer.h"
#include "api/router.h"
#include "core/mem.h"

const struct route routes[] = {
#define ROUTE(m, g, p, f, s) {.method = METHOD_##m, .flags = (g), .path = (p), .handle = (f), .summary = (s)},
#define ALIAS(p, h, a, f, s) ROUTE(POST, ROUTE_PLAIN, p, alias_run, s)
#include "api/routes.def"
#include "api/alias.def"
#undef ALIAS
#undef ROUTE
};
const size_t routes_count = COUNT_OF(routes);

bool api_new(const struct conf *conf, struct queue *queue, struct api **ret, struct err *e)
{
    struct api *a = mem_alloc(sizeof *a);
    *a = (struct api){.conf = conf, .queue = queue, .store = queue_store(queue)};
    if (!park_start(a, e)) {
        mem_free(a);
        return false;
    }
    *ret = a;
    return true;
}

void api_drain(struct api *a)
{
    park_drain(a);
}

void api_stop(struct api *a)
{
    park_stop(a);
}

void api_free(struct api *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->work);
    mem_free(a);
}

static void no_method(struct call *c, const struct route_match *m)
{
    struct err e = ERR_INIT;
    char allow[ALLOW_TEXT];
    allow_format(m->allowed, allow);
    call_header(c, "Allow", "%s", allow);
    if (c->req.method == METHOD_OPTIONS) {
        c->res.status = 204;
        call_send(c);
        return;
    }
    err_set(&e, ERR_METHOD, "%s is not a method of %s; it has %s", method_name(c->req.method), m->path,
            allow);
    answer_problem(c, &e);
}

bool api_waits(void *api, const struct call *c)
{
    (void)api;
    struct route_match m = route_match(routes, routes_count, c->req.method, c->req.path);
    return m.route && m.route->flags & ROUTE_STORE;
}

int64_t api_pieces(void *api, const struct call *c)
{
    const struct api *a = api;
    struct route_match m = route_match(routes, routes_count, c->req.method, c->req.path);
    bool may = m.route && m.route->flags & ROUTE_PIECES;
    return may && is_ndjson(c) ? conf_now(&a->conf->api_upload_max) : 0;
}

void api_handle(void *api, struct call *c)
{
    struct err e = ERR_INIT;
    if (c->req.path.len > LIMIT_PATH || c->req.query.len > LIMIT_QUERY) {
        err_set(&e, ERR_TOO_LARGE, "a path may have %u bytes and a query %u", LIMIT_PATH, LIMIT_QUERY);
        answer_problem(c, &e);
        return;
    }
    struct route_match m = route_match(routes, routes_count, c->req.method, c->req.path);
    c->route = m.route ? m.route->path : m.path;
    if (!m.path) {
        err_set(&e, ERR_NO_ROUTE, "there is nothing at this path; /api/v1/tasks is where tasks are");
        answer_problem(c, &e);
    } else if (!m.route) {
        no_method(c, &m);
    } else {
        m.route->handle(api, c, m.parameter);
    }
}
