#include "core/net_guard.h"

#include <arpa/inet.h>
#include <string.h>

#define ALLOWED 64 /* networks in http.allow */

/* A network, in the form of IPv6; IPv4 is kept mapped, 96 bits further. */
struct network {
    unsigned char bytes[16];
    int bits;
};

static struct {
    bool classes[NET_FOREIGN + 1];
    struct network networks[ALLOWED];
    size_t count;
} opened;

static const char *const names[] = {"public",   "loopback",  "private",     "shared",   "link-local",
                                    "metadata", "multicast", "unspecified", "reserved", "foreign"};

const char *net_class_name(enum net_class c)
{
    return names[c];
}

static bool is_in(const unsigned char *address, const unsigned char *network, int bits)
{
    int whole = bits / 8, rest = bits % 8;
    return memcmp(address, network, (size_t)whole) == 0 &&
           (rest == 0 || (address[whole] ^ network[whole]) >> (8 - rest) == 0);
}

/* ---- what an address is */

struct row4 {
    unsigned char network[4];
    int bits;
    enum net_class class;
};

/* The first that fits; IANA's registry of special addresses, and the metadata services that are known. */
static const struct row4 table4[] = {
    {{169, 254, 169, 254}, 32, NET_METADATA}, {{169, 254, 170, 2}, 32, NET_METADATA},
    {{169, 254, 170, 23}, 32, NET_METADATA},  {{100, 100, 100, 200}, 32, NET_METADATA},
    {{192, 0, 0, 192}, 32, NET_METADATA},     {{168, 63, 129, 16}, 32, NET_METADATA},
    {{0, 0, 0, 0}, 8, NET_UNSPECIFIED},       {{10, 0, 0, 0}, 8, NET_PRIVATE},
    {{100, 64, 0, 0}, 10, NET_SHARED},        {{127, 0, 0, 0}, 8, NET_LOOPBACK},
    {{169, 254, 0, 0}, 16, NET_LINK_LOCAL},   {{172, 16, 0, 0}, 12, NET_PRIVATE},
    {{192, 0, 0, 0}, 24, NET_RESERVED},       {{192, 0, 2, 0}, 24, NET_RESERVED},
    {{192, 88, 99, 0}, 24, NET_RESERVED},     {{192, 168, 0, 0}, 16, NET_PRIVATE},
    {{198, 18, 0, 0}, 15, NET_RESERVED},      {{198, 51, 100, 0}, 24, NET_RESERVED},
    {{203, 0, 113, 0}, 24, NET_RESERVED},     {{224, 0, 0, 0}, 4, NET_MULTICAST},
    {{240, 0, 0, 0}, 4, NET_RESERVED},
};

static enum net_class classify4(const unsigned char *a)
{
    for (size_t i = 0; i < COUNT_OF(table4); i++)
        if (is_in(a, table4[i].network, table4[i].bits))
            return table4[i].class;
    return NET_PUBLIC;
}

struct row6 {
    unsigned char network[16];
    int bits;
    enum net_class class;
};

/* Networks of IPv6 in which an address of IPv4 stands at byte `at`. */
static const struct disguise {
    unsigned char network[16];
    int bits, at;
} disguises[] = {
    {{[10] = 0xff, 0xff}, 96, 12},      /* mapped */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12}, /* NAT64 */
    {{0x20, 0x02}, 16, 2},              /* 6to4 */
};

static const struct row6 table6[] = {
    {{0}, 128, NET_UNSPECIFIED},
    {{[15] = 1}, 128, NET_LOOPBACK},
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128, NET_METADATA},
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54}, 128, NET_METADATA},
    {{0xfd, 0x00, 0x00, 0xc1, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128, NET_METADATA},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, NET_PRIVATE}, /* NAT64 of one's own */
    {{0xfc}, 7, NET_PRIVATE},
    {{0xfe, 0x80}, 10, NET_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, NET_PRIVATE},
    {{0xff}, 8, NET_MULTICAST},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, NET_RESERVED},
    {{0x20, 0x01, 0x00}, 23, NET_RESERVED}, /* Teredo is in it */
    {{0x3f, 0xff}, 20, NET_RESERVED},
    {{0x20}, 3, NET_PUBLIC},
};

/* The address of IPv4 that is meant; NULL: none. */
static const unsigned char *unmask(const unsigned char *a)
{
    for (size_t i = 0; i < COUNT_OF(disguises); i++)
        if (is_in(a, disguises[i].network, disguises[i].bits))
            return a + disguises[i].at;
    return NULL;
}

/* ISATAP: in the lower half of any network. */
static const unsigned char *isatap(const unsigned char *a)
{
    bool is = (a[8] & 0xfd) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe;
    return is ? a + 12 : NULL;
}

static enum net_class classify6(const unsigned char *a)
{
    const unsigned char *four = unmask(a);
    if (four)
        return classify4(four);
    enum net_class class = NET_RESERVED;
    for (size_t i = 0; i < COUNT_OF(table6); i++)
        if (is_in(a, table6[i].network, table6[i].bits)) {
            class = table6[i].class;
            break;
        }
    four = isatap(a);
    return class == NET_PUBLIC && four ? classify4(four) : class;
}

/* In the form of IPv6, IPv4 mapped. False: it is neither. */
static bool bytes_of(const struct sockaddr *a, unsigned char ret[16])
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        memcpy(ret + 12, &in.sin_addr, 4);
        return true;
    }
    if (a->sa_family != AF_INET6)
        return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, a, sizeof in6);
    memcpy(ret, &in6.sin6_addr, 16);
    return true;
}

enum net_class net_classify(const struct sockaddr *a)
{
    unsigned char bytes[16];
    return bytes_of(a, bytes) ? classify6(bytes) : NET_FOREIGN;
}

/* ---- what is open */

static bool open_class(struct span word)
{
    for (enum net_class c = NET_LOOPBACK; c <= NET_LINK_LOCAL; c++)
        if (span_is(word, names[c])) {
            opened.classes[c] = true;
            return true;
        }
    return false;
}

static bool open_network(struct span word)
{
    struct span bits = word, host = span_cut(&bits, '/');
    bool whole = host.len == word.len;
    struct sockaddr_storage a;
    int64_t n = 0;
    if (opened.count == ALLOWED || !net_literal(host, &a))
        return false;
    int64_t most = a.ss_family == AF_INET ? 32 : 128;
    if (!whole && (!span_to_int(bits, &n) || n < 0 || n > most))
        return false;
    struct network *net = &opened.networks[opened.count];
    net->bits = (int)((whole ? most : n) + 128 - most);
    return bytes_of((const struct sockaddr *)&a, net->bytes) && ++opened.count > 0;
}

bool net_guard_open(const char *allow, struct err *e)
{
    memset(&opened, 0, sizeof opened);
    struct span rest = span_of(allow);
    while (rest.len) {
        struct span word = span_trim(span_cut(&rest, ','));
        if (word.len && !open_class(word) && !open_network(word))
            return err_set(e, ERR_CONFIG,
                           "http.allow: \"" SPAN_FMT
                           "\" is none of loopback, private, shared and link-local, no address and no "
                           "network like 10.1.0.0/16; or there are more than %d",
                           SPAN_ARG(word), ALLOWED);
    }
    return true;
}

/* A network may be opened as what it says or as what it means; a metadata service only by its own address, since who opens
 * a network seldom thinks of what is in it. */
static bool is_open(const unsigned char *a, enum net_class class)
{
    unsigned char meant[16] = {[10] = 0xff, 0xff};
    const unsigned char *four = unmask(a);
    memcpy(meant + 12, four ? four : a + 12, 4);
    if (class == NET_PUBLIC || opened.classes[class])
        return true;
    for (size_t i = 0; i < opened.count; i++) {
        const struct network *n = &opened.networks[i];
        if (class == NET_METADATA && n->bits < 128)
            continue;
        if (is_in(a, n->bytes, n->bits) || (four && is_in(meant, n->bytes, n->bits)))
            return true;
    }
    return false;
}

bool net_guard_check(const struct sockaddr *a, struct err *e)
{
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN] = "";
    if (!bytes_of(a, bytes))
        return err_set(e, ERR_FORBIDDEN_ADDRESS, "only addresses of IPv4 and IPv6 may be reached");
    enum net_class class = classify6(bytes);
    if (is_open(bytes, class))
        return true;
    bool four = a->sa_family == AF_INET;
    inet_ntop(a->sa_family, four ? bytes + 12 : bytes, text, sizeof text);
    return err_set(e, ERR_FORBIDDEN_ADDRESS,
                   "%s is a %s address, which outgoing requests may not reach; http.allow opens some", text,
                   names[class]);
}

/* ---- numbers */

bool net_literal(struct span host, struct sockaddr_storage *ret)
{
    char text[INET6_ADDRSTRLEN + 2];
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = (struct span){host.ptr + 1, host.len - 2};
    if (host.len && host.ptr[host.len - 1] == '.') /* the root of names: a resolver may pass over it */
        host.len--;
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    memset(ret, 0, sizeof *ret);
    if (inet_aton(text, &in.sin_addr))
        memcpy(ret, &in, sizeof in);
    else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        memcpy(ret, &in6, sizeof in6);
    else
        return false;
    return true;
}
