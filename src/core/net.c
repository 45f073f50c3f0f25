#include "core/net.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/net_address.h"

#define RETRY_MS 5 /* between two tries of what the kernel offers no event for */

int net_close(int fd)
{
    int saved = errno, result = fd < 0 ? 0 : close(fd);
    errno = saved;
    return result;
}

void net_close_at(int *fd)
{
    net_close(*fd);
    *fd = -1;
}

static bool open_socket(const struct net_address *a, int *ret_fd, struct err *e)
{
    int fd = socket(a->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(e, "cannot make a socket");
    *ret_fd = fd;
    return true;
}

static int connect_to(int fd, const struct net_address *a)
{
    return connect(fd, (const struct sockaddr *)(const void *)&a->socket, a->length);
}

static void pause_until(int64_t deadline)
{
    int left = clock_poll_ms(deadline);
    poll(NULL, 0, left < 0 || left > RETRY_MS ? RETRY_MS : left);
}

/* ---- listening */

/* What is at the path now must be nothing, or a socket that nobody listens on: that is removed. */
static bool remove_stale(const char *path, const struct net_address *a, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || err_errno(e, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_CONFLICT, "%s is there already and is not a socket; it is left alone", path);
    int fd CLEANUP(net_close_at) = -1;
    if (!open_socket(a, &fd, e))
        return false;
    if (connect_to(fd, a) == 0 || errno != ECONNREFUSED)
        return err_set(e, ERR_CONFLICT, "another process listens on %s", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_errno(e, "cannot remove the stale socket %s", path);
    return true;
}

/* Two processes that start at once must not take each other's new socket for a stale one: a lock on the directory. */
static bool lock_directory(const char *path, int *ret_fd, struct err *e)
{
    char *copy CLEANUP(mem_free_at) = mem_copy_text(path);
    const char *directory = dirname(copy);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "cannot open the directory %s", directory);
    if (!file_lock(fd, clock_after_ms(2000), directory, e)) {
        net_close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool bind_and_listen(int fd, const struct net_address *a, const char *address, int backlog,
                            struct err *e)
{
    if (bind(fd, (const struct sockaddr *)(const void *)&a->socket, a->length) != 0)
        return err_errno(e, "cannot bind to %s", address);
    if (listen(fd, backlog) != 0)
        return err_errno(e, "cannot listen on %s", address);
    return true;
}

static bool listen_unix(int fd, const struct net_address *a, const char *address, int backlog, unsigned mode,
                        struct err *e)
{
    const char *path = net_unix_path(address);
    int lock CLEANUP(net_close_at) = -1;
    if (!lock_directory(path, &lock, e) || !remove_stale(path, a, e))
        return false;
    if (bind(fd, (const struct sockaddr *)(const void *)&a->socket, a->length) != 0)
        return err_errno(e, "cannot bind to %s", address);
    /* before listen(2): until then nobody can connect, whatever the permissions that bind(2) gave */
    if (chmod(path, (mode_t)mode) != 0 || listen(fd, backlog) != 0) {
        err_errno(e, "cannot listen on %s", address);
        unlink(path);
        return false;
    }
    return true;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

bool net_listen(const char *address, int backlog, unsigned mode, int *ret_fd, struct err *e)
{
    struct net_address a;
    int fd CLEANUP(net_close_at) = -1;
    if (!net_parse(address, &a, e) || !open_socket(&a, &fd, e))
        return false;
    if (a.socket.ss_family == AF_UNIX) {
        if (!listen_unix(fd, &a, address, backlog, mode, e))
            return false;
    } else {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
        if (a.socket.ss_family == AF_INET6)
            set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        if (!bind_and_listen(fd, &a, address, backlog, e))
            return false;
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

void net_unlink(const char *address)
{
    const char *path = net_unix_path(address);
    if (path)
        unlink(path);
}

/* ---- connecting */

static bool wait_connected(int fd, const char *address, int64_t deadline, struct err *e)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready;
    do
        ready = poll(&p, 1, clock_poll_ms(deadline));
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return err_errno(e, "cannot wait for %s", address);
    if (ready == 0)
        return err_set(e, ERR_TIMEOUT, "%s did not accept the connection in time", address);
    int fault = 0;
    socklen_t size = sizeof fault;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size);
    errno = fault;
    return fault == 0 || err_errno(e, "cannot connect to %s", address);
}

bool net_connect(const char *address, int64_t deadline, int *ret_fd, struct err *e)
{
    struct net_address a;
    int fd CLEANUP(net_close_at) = -1;
    if (!net_parse(address, &a, e) || !open_socket(&a, &fd, e))
        return false;
    bool connected;
    while (!(connected = connect_to(fd, &a) == 0) && (errno == EAGAIN || errno == EINTR)) {
        /* EAGAIN: the backlog of a unix listener is full, and no descriptor tells when it has room again */
        if (clock_poll_ms(deadline) == 0)
            return err_set(e, ERR_TIMEOUT, "%s did not accept the connection in time", address);
        pause_until(deadline);
    }
    if (!connected && errno != EINPROGRESS)
        return err_errno(e, "cannot connect to %s", address);
    if (!connected && !wait_connected(fd, address, deadline, e))
        return false;
    if (a.socket.ss_family != AF_UNIX)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    *ret_fd = fd;
    fd = -1;
    return true;
}

bool net_connect_begin(const char *address, int *ret_fd, struct err *e)
{
    struct net_address a;
    int fd CLEANUP(net_close_at) = -1;
    if (!net_parse(address, &a, e) || !open_socket(&a, &fd, e))
        return false;
    if (connect_to(fd, &a) != 0 && errno != EINPROGRESS)
        return err_errno(e, "cannot connect to %s", address);
    if (a.socket.ss_family != AF_UNIX)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    *ret_fd = fd;
    fd = -1;
    return true;
}

/* ---- systemd */

static bool env_int(const char *name, int64_t *ret)
{
    const char *text = getenv(name);
    return text && span_to_int(span_of(text), ret);
}

int net_inherited(void)
{
    int64_t pid, count;
    if (!env_int("LISTEN_PID", &pid) || pid != getpid() || !env_int("LISTEN_FDS", &count) || count < 1 ||
        count > 64)
        return 0;
    for (int fd = 3; fd < 3 + (int)count; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return 0;
    return (int)count;
}

void net_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(un.sun_path, path, length);
    if (path[0] == '@') /* the abstract name space */
        un.sun_path[0] = '\0';
    int fd CLEANUP(net_close_at) = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (fd >= 0) /* nobody to tell if it fails: the manager is who would be told */
        (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&un,
                      size);
}

/* ---- the doorbell */

bool net_bell(int *ret_fd, struct err *e)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_errno(e, "cannot make an eventfd");
    *ret_fd = fd;
    return true;
}

void net_ring(int fd)
{
    int saved = errno;
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = saved; /* EAGAIN: it is ringing already, as loud as it can */
}

void net_bell_clear(int fd)
{
    int saved = errno;
    uint64_t rung;
    while (read(fd, &rung, sizeof rung) < 0 && errno == EINTR)
        ;
    errno = saved;
}
