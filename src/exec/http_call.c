#include "exec/http_call.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/net_guard.h"

#define CONNECT_MS 10000   /* of which curl may use half for the first address */
#define RECEIVE_BYTES 8192 /* a call under way takes as much */

/* ---- whom it may reach, and what goes there */

/* "https://example.com:443" of the URL that is asked now, as curl understands it. */
static bool put_origin(struct call *c, struct buf *out)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    static const char *const before[] = {"", "://", ":"};
    CURLU *u = curl_url();
    const char *url = NULL;
    curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url);
    bool ok = u && url && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    for (size_t i = 0; ok && i < COUNT_OF(parts); i++) {
        char *text = NULL;
        ok = curl_url_get(u, parts[i], &text, CURLU_DEFAULT_PORT) == CURLUE_OK;
        buf_puts(out, before[i]);
        buf_puts(out, ok ? text : "");
        curl_free(text);
    }
    curl_url_cleanup(u);
    return ok && !out->failed;
}

#if LIBCURL_VERSION_NUM >= 0x075000
#define CAN_DROP_HEADERS true

/* Before a request is sent. A redirect to somebody else takes nothing along that the caller meant for the first. */
static int on_send(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct call *c = arg;
    struct buf origin CLEANUP(buf_release) = BUF_INIT(LIMIT_HTTP_HEAD);
    (void)to, (void)from, (void)to_port, (void)from_port;
    http_resolved(c);
    if (!c->plain)
        return CURL_PREREQFUNC_OK;
    if (!put_origin(c, &origin))
        return CURL_PREREQFUNC_ABORT;
    if (c->origin.len == 0)
        buf_span(&c->origin, buf_view(&origin));
    if (!span_eq(buf_view(&origin), buf_view(&c->origin)))
        curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->plain);
    return CURL_PREREQFUNC_OK;
}
#else
#define CAN_DROP_HEADERS false
#endif

static bool is_name(const char *url)
{
    char *host = NULL;
    struct sockaddr_storage a;
    CURLU *u = curl_url();
    bool got = u && url && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    bool name = !got || !net_literal(span_of(host), &a);
    curl_free(host);
    curl_url_cleanup(u);
    return name;
}

/* Is the host of the URL that is asked now a name? Then what it stands for in here is not told to who asked. */
static bool goes_to_name(struct call *c)
{
    const char *url = NULL;
    curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url);
    return is_name(url);
}

static int on_resolve(void *resolver, void *reserved, void *arg)
{
    (void)resolver, (void)reserved;
    return !http_resolves(arg);
}

/* Looks at the address that is about to be connected to. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct call *c = arg;
    (void)purpose;
    http_resolved(c);
    if (!net_guard_check(&a->addr, &c->refusal)) {
        if (goes_to_name(c))
            err_set(
                &c->refusal, ERR_FORBIDDEN_ADDRESS,
                "the host stands for a %s address, which outgoing requests may not reach; http.allow opens some",
                net_class_name(net_classify(&a->addr)));
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- what comes back */

static size_t on_head(char *bytes, size_t size, size_t n, void *arg)
{
    struct call *c = arg;
    struct span line = {bytes, size * n};
    http_resolved(c);                 /* on a connection that was there already, where there is no on_send */
    if (span_starts(line, "HTTP/")) { /* of the next answer, after a redirect or a 100 */
        buf_clear(&c->head);
        http_answers(c);
        return line.len;
    }
    buf_span(&c->head, line);
    c->too_large = c->head.failed;
    return c->too_large ? 0 : line.len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct call *c = arg;
    buf_put(&c->body, bytes, size * n);
    c->too_large = c->body.failed;
    return c->too_large ? 0 : size * n;
}

/* ---- what is sent */

/* They say how the message ends, or where the connection goes: curl's business. */
static bool is_ours(struct span name)
{
    static const char *const ours[] = {
        "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer",
        "expect",         "http2-settings"};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (span_eq_nocase(name, ours[i]))
            return true;
    struct span start = name;
    return span_eq_nocase(span_take(&start, 6), "proxy-");
}

static bool is_token(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.ptr[i];
        if (ch <= ' ' || ch > '~' || strchr("()<>@,;:\\\"/[]?={}", ch))
            return false;
    }
    return name.len > 0 && name.len <= LIMIT_HEADER;
}

static bool is_value(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return false;
    return value.len <= LIMIT_HEADER;
}

static void add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *more = curl_slist_append(*list, text);
    assert(more);
    *list = more;
}

static void add_ours(struct curl_slist **list, bool typed, bool agent)
{
    add_header(list, "Expect:"); /* it would cost a second with servers that do not know it */
    if (!typed)
        add_header(list, "Content-Type:");
    if (!agent)
        add_header(list, "User-Agent: lathe/" PACKAGE_VERSION);
}

static bool add_headers(struct call *c, const struct http_request *r, struct err *e)
{
    struct buf line CLEANUP(buf_release) = BUF_INIT(2 * LIMIT_HEADER + 4);
    bool typed = false, agent = false;
    if (r->header_count > LIMIT_HTTP_HEADERS)
        return err_set(e, ERR_BAD_FIELD, "a request has %u headers at most", LIMIT_HTTP_HEADERS);
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name, value = span_trim(r->headers[i].value);
        if (!is_token(name) || !is_value(value) || is_ours(name))
            return err_set(e, ERR_BAD_FIELD, "the header \"%.*s\" may not be set, or not so",
                           (int)(name.len < 64 ? name.len : 64), name.len ? name.ptr : "");
        typed |= span_eq_nocase(name, "content-type");
        agent |= span_eq_nocase(name, "user-agent");
        buf_clear(&line);
        buf_span(&line, name);
        buf_puts(&line, value.len ? ": " : ";"); /* curl's word for a header without a value */
        buf_span(&line, value);
        buf_char(&line, '\0');
        add_header(&c->headers, line.ptr);
    }
    add_ours(&c->headers, typed, agent);
    if (r->header_count && r->redirects > 0)
        add_ours(&c->plain, false, false);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    return true;
}

static bool set_method(struct call *c, const struct http_request *r, struct err *e)
{
    char method[24];
    struct span name = r->method.len ? r->method : SPAN("GET");
    if (!is_token(name) || name.len >= sizeof method || span_eq_nocase(name, "CONNECT"))
        return err_set(e, ERR_BAD_FIELD, "this is no method that a request can have");
    memcpy(method, name.ptr, name.len);
    method[name.len] = '\0';
    bool get = span_is(name, "GET"), head = span_is(name, "HEAD"), post = span_is(name, "POST");
    if (r->body.len || !(get || head)) {
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, r->body.len ? r->body.ptr : "");
    }
    if (head)
        curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    else if (!post && !(get && r->body.len == 0))
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, method);
    return true;
}

/* What changes something is not sent to a second place: there the redirect is the answer. */
static bool follows(const struct http_request *r)
{
    bool asks = r->method.len == 0 || span_is(r->method, "GET") || span_is(r->method, "HEAD");
    return r->redirects > 0 && asks && r->body.len == 0 && (CAN_DROP_HEADERS || r->header_count == 0);
}

static void lower(char *to, const char *from, size_t room)
{
    size_t i = 0;
    for (; from[i] && i + 1 < room; i++)
        to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
    to[i] = '\0';
}

/* What is too long has neither breaker nor limits. */
static void set_where(struct call *c, const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        strlen(scheme) + strlen(host) + strlen(port) + 5 < LIMIT_ORIGIN) {
        lower(c->host, host, sizeof c->host);
        size_t n = strlen(c->host);
        if (n > 1 && c->host[n - 1] == '.') /* the same server, said in full */
            c->host[n - 1] = '\0';
        snprintf(c->where, sizeof c->where, "%.8s://%.270s:%.8s", scheme, c->host, port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static bool set_url(struct call *c, const struct http_request *r, struct err *e)
{
    char url[LIMIT_URL + 1];
    if (!http_check_url(r->url, "url", e))
        return false;
    memcpy(url, r->url.ptr, r->url.len);
    url[r->url.len] = '\0';
    c->name = is_name(url);
    set_where(c, url);
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
    curl_easy_setopt(c->easy, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, follows(r) ? 1L : 0L);
    curl_easy_setopt(c->easy, CURLOPT_MAXREDIRS, (long)r->redirects);
#if LIBCURL_VERSION_NUM >= 0x075000
    curl_easy_setopt(c->easy, CURLOPT_PREREQFUNCTION, on_send);
    curl_easy_setopt(c->easy, CURLOPT_PREREQDATA, c);
#endif
    return true;
}

/* Not CURLOPT_PIPEWAIT, by which the first requests to a server of https would share one connection: they wait in one list for all
 * servers, without their time limits, so that one that does not answer holds up the others. */
static void set_trust(struct call *c)
{
    if (!http_ca_file())
        return;
    curl_easy_setopt(c->easy, CURLOPT_CAINFO, http_ca_file());
    curl_easy_setopt(c->easy, CURLOPT_CAPATH, NULL); /* the system's folder would count beside it */
}

static void set_limits(struct call *c, const struct http_request *r)
{
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms); /* from when it has a place */
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    if (!span_is(r->method, "HEAD")) /* its length is that of a body that does not come */
        curl_easy_setopt(c->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)(r->most > 0 ? r->most : 1));
    curl_easy_setopt(c->easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    if (r->unpack)
        curl_easy_setopt(c->easy, CURLOPT_ACCEPT_ENCODING, "");
}

static void set_rest(struct call *c)
{
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_PROXY, ""); /* not even that of the environment */
    curl_easy_setopt(c->easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    curl_easy_setopt(c->easy, CURLOPT_RESOLVER_START_DATA, c);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for the resolver */
#endif
}

bool call_set(struct call *c, const struct http_request *r, struct err *e)
{
    set_rest(c);
    set_limits(c, r);
    set_trust(c);
    return set_url(c, r, e) && set_method(c, r, e) && add_headers(c, r, e);
}
