/* core/net.h and core/file.h */
#include "unit/unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/net.h"

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    make_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir); /* fails if a test left something */
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 10000) == 1;
}

/* A connection both ways, and what every descriptor must be. */
static void assert_talks(const char *address, int listener)
{
    struct err e = ERR_INIT;
    int client = -1;
    assert_true(net_connect(address, clock_after_ms(10000), &client, &e));
    assert_true(is_readable(listener));
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
    char c = 0;
    assert_true(is_readable(server));
    assert_int_equal(recv(server, &c, 1, 0), 1);
    assert_int_equal(c, 'x');
    assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
    net_close_at(&client);
    assert_int_equal(client, -1);
    net_close(server);
}

static void t01_unix(void **state)
{
    (void)state;
    char address[100];
    struct err e = ERR_INIT;
    struct stat st;
    for (int prefix = 0; prefix < 2; prefix++) {
        int fd = -1, other = -1;
        snprintf(address, sizeof address, "%s%s/sock", prefix ? "unix:" : "", dir);
        const char *path = address + (prefix ? 5 : 0);
        assert_true(net_listen(address, 8, 0640, &fd, &e));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_talks(address, fd);

        assert_false(net_listen(address, 8, 0640, &other, &e)); /* a live one is left alone */
        assert_int_equal(e.code, ERR_CONFLICT);
        assert_int_equal(other, -1);
        while ((other = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) /* the look of it */
            close(other);
        assert_talks(address, fd);

        close(fd);
        assert_int_equal(stat(path, &st), 0);
        assert_false(net_connect(address, clock_after_ms(1000), &other, &e));
        assert_int_equal(e.code, ERR_SYSTEM);
        assert_true(net_listen(address, 8, 0600, &fd, &e)); /* a stale one is replaced */
        assert_talks(address, fd);
        close(fd);
        net_unlink(address);
        assert_int_equal(stat(path, &st), -1);
    }
}

static void t02_what_is_no_socket_stays(void **state)
{
    (void)state;
    char path[100];
    struct err e = ERR_INIT;
    int fd = -1;
    snprintf(path, sizeof path, "%s/precious", dir);
    write_file(path, "data");
    assert_false(net_listen(path, 8, 0600, &fd, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_false(net_listen("/no/such/directory/sock", 8, 0600, &fd, &e));
    assert_holds(e.text, "/no/such/directory");
    assert_int_equal(fd, -1);
}

static void t03_tcp(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        char address[100];
        struct err e = ERR_INIT;
        int fd = -1;
        snprintf(address, sizeof address, "%s:0", hosts[i]);
        if (!net_listen(address, 8, 0, &fd, &e)) {
            assert_int_equal(i, 1); /* a machine without IPv6 */
            continue;
        }
        struct sockaddr_storage a;
        socklen_t size = sizeof a;
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
        in_port_t port = i ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port;
        snprintf(address, sizeof address, "%s:%d", hosts[i], ntohs(port));
        assert_talks(address, fd);
        close(fd);
        int client = -1;
        assert_false(net_connect(address, clock_after_ms(10000), &client, &e));
        assert_int_equal(client, -1);
    }
}

static void t04_no_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "localhost:80", "127.0.0.1",    "127.0.0.1:",   "127.0.0.1:65536", "127.0.0.1:-1",
        "1.2.3:80", "::1:80",       "[::1]",        "[zz]:80",      "unix:",           ":80",
        "[]:80",    "127.0.0.1:8x", "256.0.0.1:80", "127.0.0.1 :80"};
    struct err e = ERR_INIT;
    int fd = -1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        e.code = ERR_NONE;
        assert_false(net_listen(bad[i], 8, 0600, &fd, &e));
        assert_int_equal(e.code, ERR_CONFIG);
        assert_false(net_connect(bad[i], clock_after_ms(0), &fd, &e));
        assert_int_equal(e.code, ERR_CONFIG);
    }
    char path[200];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[199] = '\0';
    assert_false(net_listen(path, 8, 0600, &fd, &e));
    assert_int_equal(e.code, ERR_CONFIG);
    assert_int_equal(fd, -1);
}

static void t05_a_full_backlog_is_a_time_out(void **state)
{
    (void)state;
    char address[100];
    struct err e = ERR_INIT;
    int fd = -1, clients[64], n = 0;
    snprintf(address, sizeof address, "%s/full", dir);
    assert_true(net_listen(address, 1, 0600, &fd, &e));
    while (n < 64 && net_connect(address, clock_after_ms(30), &clients[n], &e))
        n++;
    assert_true(n < 64);
    assert_int_equal(e.code, ERR_TIMEOUT);
    while (n > 0)
        close(clients[--n]);
    close(fd);
    net_unlink(address);
}

static void t06_the_bell(void **state)
{
    (void)state;
    int fd = -1;
    assert_true(net_bell(&fd, NULL));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    net_bell_clear(fd); /* not rung: does not wait */
    net_ring(fd);
    net_ring(fd);
    assert_int_equal(poll(&p, 1, 0), 1);
    net_bell_clear(fd);
    assert_int_equal(poll(&p, 1, 0), 0);
    errno = ENOTTY;
    assert_int_equal(net_close(fd), 0);
    assert_int_equal(net_close(-1), 0);
    assert_int_equal(errno, ENOTTY);
}

static void t07_notify(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s/notify", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    unsetenv("NOTIFY_SOCKET");
    net_notify("READY=1"); /* nobody is told */
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    net_notify("STOPPING=1");
    char text[100] = "";
    assert_true(is_readable(fd));
    assert_int_equal(recv(fd, text, sizeof text, 0), 10);
    assert_string_equal(text, "STOPPING=1");
    setenv("NOTIFY_SOCKET", "relative/path", 1);
    net_notify("x");
    setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
    net_notify("x");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
    unlink(a.sun_path);
}

static void t08_inherited(void **state)
{
    (void)state;
    char pid[20];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    unsetenv("LISTEN_PID");
    assert_int_equal(net_inherited(), 0);
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(net_inherited(), 0); /* meant for another process */
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "x", 1);
    assert_int_equal(net_inherited(), 0);
    setenv("LISTEN_FDS", "1", 1);
    bool was_open = fcntl(3, F_GETFD) >= 0;
    if (!was_open)
        assert_int_equal(dup2(STDIN_FILENO, 3), 3);
    assert_int_equal(net_inherited(), 1);
    assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
    if (!was_open)
        close(3);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
}

static void t09_files(void **state)
{
    (void)state;
    char path[100];
    struct err e = ERR_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(20);
    snprintf(path, sizeof path, "%s/file", dir);
    assert_false(file_read(path, &b, &e));
    assert_int_equal(e.code, ERR_SYSTEM);
    write_file(path, "12345678901234567890");
    assert_true(file_read(path, &b, &e));
    assert_span(buf_view(&b), "12345678901234567890");
    assert_false(file_read(path, &b, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_false(file_read(dir, &b, &e));

    int one = open(path, O_RDONLY | O_CLOEXEC), two = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file_lock(one, clock_after_ms(0), "it", &e));
    assert_false(file_lock(two, clock_after_ms(20), "it", &e));
    assert_int_equal(e.code, ERR_TIMEOUT);
    close(one);
    assert_true(file_lock(two, clock_after_ms(10000), "it", &e));
    close(two);
    assert_false(file_lock(-1, clock_after_ms(0), "it", &e));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_unix),
        cmocka_unit_test(t02_what_is_no_socket_stays),
        cmocka_unit_test(t03_tcp),
        cmocka_unit_test(t04_no_addresses),
        cmocka_unit_test(t05_a_full_backlog_is_a_time_out),
        cmocka_unit_test(t06_the_bell),
        cmocka_unit_test(t07_notify),
        cmocka_unit_test(t08_inherited),
        cmocka_unit_test(t09_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
