/* core/net_guard.h: every class of address, at its first and its last, and beside both; in every disguise. */
#include "unit.h"

#include <arpa/inet.h>

#include "core/net_guard.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage a;
    if (!net_literal(span_of(text), &a))
        fail_msg("%s is not read as an address", text);
    return a;
}

static enum net_class class_of(const char *text)
{
    struct sockaddr_storage a = address(text);
    return net_classify((const struct sockaddr *)&a);
}

static const struct {
    const char *address;
    enum net_class class;
} table4[] = {
    {"0.0.0.0", NET_UNSPECIFIED},
    {"0.255.255.255", NET_UNSPECIFIED},
    {"1.0.0.0", NET_PUBLIC},
    {"9.255.255.255", NET_PUBLIC},
    {"10.0.0.0", NET_PRIVATE},
    {"10.255.255.255", NET_PRIVATE},
    {"11.0.0.0", NET_PUBLIC},
    {"100.63.255.255", NET_PUBLIC},
    {"100.64.0.0", NET_SHARED},
    {"100.127.255.255", NET_SHARED},
    {"100.128.0.0", NET_PUBLIC},
    {"100.100.100.200", NET_METADATA},
    {"126.255.255.255", NET_PUBLIC},
    {"127.0.0.0", NET_LOOPBACK},
    {"127.0.0.1", NET_LOOPBACK},
    {"127.255.255.255", NET_LOOPBACK},
    {"128.0.0.0", NET_PUBLIC},
    {"168.63.129.16", NET_METADATA},
    {"169.253.255.255", NET_PUBLIC},
    {"169.254.0.0", NET_LINK_LOCAL},
    {"169.254.255.255", NET_LINK_LOCAL},
    {"169.254.169.254", NET_METADATA},
    {"169.254.169.253", NET_LINK_LOCAL},
    {"169.254.170.2", NET_METADATA},
    {"169.254.170.23", NET_METADATA},
    {"169.255.0.0", NET_PUBLIC},
    {"172.15.255.255", NET_PUBLIC},
    {"172.16.0.0", NET_PRIVATE},
    {"172.31.255.255", NET_PRIVATE},
    {"172.32.0.0", NET_PUBLIC},
    {"191.255.255.255", NET_PUBLIC},
    {"192.0.0.0", NET_RESERVED},
    {"192.0.0.192", NET_METADATA},
    {"192.0.0.255", NET_RESERVED},
    {"192.0.1.0", NET_PUBLIC},
    {"192.0.2.0", NET_RESERVED},
    {"192.0.2.255", NET_RESERVED},
    {"192.0.3.0", NET_PUBLIC},
    {"192.88.99.1", NET_RESERVED},
    {"192.88.100.0", NET_PUBLIC},
    {"192.167.255.255", NET_PUBLIC},
    {"192.168.0.0", NET_PRIVATE},
    {"192.168.255.255", NET_PRIVATE},
    {"192.169.0.0", NET_PUBLIC},
    {"198.17.255.255", NET_PUBLIC},
    {"198.18.0.0", NET_RESERVED},
    {"198.19.255.255", NET_RESERVED},
    {"198.20.0.0", NET_PUBLIC},
    {"198.51.100.7", NET_RESERVED},
    {"198.51.101.0", NET_PUBLIC},
    {"203.0.113.9", NET_RESERVED},
    {"203.0.114.0", NET_PUBLIC},
    {"223.255.255.255", NET_PUBLIC},
    {"224.0.0.0", NET_MULTICAST},
    {"239.255.255.255", NET_MULTICAST},
    {"240.0.0.0", NET_RESERVED},
    {"255.255.255.255", NET_RESERVED},
    {"8.8.8.8", NET_PUBLIC},
};

static void t01_addresses_of_ipv4(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table4); i++)
        if (class_of(table4[i].address) != table4[i].class)
            fail_msg("%s is %s", table4[i].address, net_class_name(class_of(table4[i].address)));
}

static void t02_their_disguises_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table4); i++) {
        struct in_addr in;
        char forms[4][64];
        assert_int_equal(inet_pton(AF_INET, table4[i].address, &in), 1);
        unsigned n = ntohl(in.s_addr);
        snprintf(forms[0], 64, "::ffff:%s", table4[i].address);
        snprintf(forms[1], 64, "64:ff9b::%s", table4[i].address);
        snprintf(forms[2], 64, "2002:%x:%x::1", n >> 16, n & 0xffff);
        snprintf(forms[3], 64, "2600::5efe:%x:%x", n >> 16, n & 0xffff);
        for (size_t f = 0; f < COUNT_OF(forms); f++)
            if (class_of(forms[f]) != table4[i].class)
                fail_msg("%s is %s", forms[f], net_class_name(class_of(forms[f])));
    }
}

static void t03_addresses_of_ipv6(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum net_class class;
    } table[] = {
        {"::", NET_UNSPECIFIED},
        {"::1", NET_LOOPBACK},
        {"::2", NET_RESERVED},
        {"::127.0.0.1", NET_RESERVED}, /* IPv4-compatible, which nobody uses */
        {"::8.8.8.8", NET_RESERVED},
        {"::ffff:0:8.8.8.8", NET_RESERVED}, /* IPv4-translated */
        {"64:ff9b:1::a00:1", NET_PRIVATE},
        {"64:ff9b:2::1", NET_RESERVED},
        {"100::1", NET_RESERVED},
        {"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NET_RESERVED},
        {"2000::", NET_PUBLIC},
        {"2001::1", NET_RESERVED}, /* Teredo */
        {"2001:1ff:ffff::", NET_RESERVED},
        {"2001:200::", NET_PUBLIC},
        {"2001:db8::1", NET_RESERVED},
        {"2001:db9::1", NET_PUBLIC},
        {"2001:4860:4860::8888", NET_PUBLIC},
        {"2606:4700::1111", NET_PUBLIC},
        {"2600::200:5efe:7f00:1", NET_LOOPBACK}, /* ISATAP */
        {"3ffe:ffff::", NET_PUBLIC},
        {"3fff::1", NET_RESERVED},
        {"3fff:fff:ffff::", NET_RESERVED},
        {"4000::", NET_RESERVED},
        {"5f00::1", NET_RESERVED},
        {"fbff::1", NET_RESERVED},
        {"fc00::", NET_PRIVATE},
        {"fd00:ec2::254", NET_METADATA},
        {"fd00:ec2::253", NET_PRIVATE},
        {"fd20:ce::254", NET_METADATA},
        {"fd20:ce::253", NET_PRIVATE},
        {"fd00:c1::a9fe:a9fe", NET_METADATA},
        {"fd00:c1::a9fe:a9fd", NET_PRIVATE},
        {"fdff:ffff::", NET_PRIVATE},
        {"fe00::1", NET_RESERVED},
        {"fe80::1", NET_LINK_LOCAL},
        {"febf:ffff::", NET_LINK_LOCAL},
        {"fec0::1", NET_PRIVATE},
        {"feff:ffff::", NET_PRIVATE},
        {"ff00::", NET_MULTICAST},
        {"ff02::1", NET_MULTICAST},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (class_of(table[i].address) != table[i].class)
            fail_msg("%s is %s", table[i].address, net_class_name(class_of(table[i].address)));
}

static void t04_other_families(void **state)
{
    (void)state;
    struct sockaddr_storage a = {.ss_family = AF_UNIX};
    struct err e = ERR_INIT;
    assert_int_equal(net_classify((struct sockaddr *)&a), NET_FOREIGN);
    assert_true(net_guard_open("loopback, private, 0.0.0.0/0, ::/0", &e));
    assert_false(net_guard_check((struct sockaddr *)&a, &e));
    assert_int_equal(e.code, ERR_FORBIDDEN_ADDRESS);
}

static bool may(const char *text)
{
    struct sockaddr_storage a = address(text);
    struct err e = ERR_INIT;
    bool ok = net_guard_check((const struct sockaddr *)&a, &e);
    assert_int_equal(e.code, ok ? ERR_NONE : ERR_FORBIDDEN_ADDRESS);
    return ok;
}

static void t05_only_the_public_is_open(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_true(net_guard_open("", &e));
    for (size_t i = 0; i < COUNT_OF(table4); i++)
        assert_int_equal(may(table4[i].address), table4[i].class == NET_PUBLIC);
    struct sockaddr_storage a = address("10.1.2.3");
    assert_false(net_guard_check((struct sockaddr *)&a, &e));
    assert_string_equal(
        e.text,
        "10.1.2.3 is a private address, which outgoing requests may not reach; http.allow opens some");
}

static void t06_what_is_opened(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *yes[5], *no[5];
    } cases[] = {
        {"loopback", {"127.0.0.1", "::1", "::ffff:127.9.9.9"}, {"10.0.0.1", "0.0.0.0", "169.254.169.254"}},
        {"private",
         {"10.0.0.1", "192.168.0.1", "fd00::1", "2002:a00:1::"},
         {"127.0.0.1", "100.64.0.1", "fd00:ec2::254"}},
        {"link-local,shared",
         {"169.254.1.1", "fe80::1", "100.64.0.1"},
         {"169.254.169.254", "100.100.100.200", "10.0.0.1"}},
        {" 10.1.0.0/16 , 169.254.169.254 ",
         {"10.1.255.255", "::ffff:10.1.0.0", "169.254.169.254"},
         {"10.2.0.0", "169.254.169.253", "10.0.255.255"}},
        {"10.128.0.0/9", {"10.128.0.0", "10.255.0.0"}, {"10.127.255.255"}},
        {"fd12:3456::/32,::1", {"fd12:3456:1::1", "::1"}, {"fd12:3457::1", "127.0.0.1", "10.0.0.1"}},
        {"169.254.0.0/16", {"169.254.1.1"}, {"169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254"}},
        {"0.0.0.0/0,::/0", {"10.0.0.1", "fd00::1"}, {"169.254.169.254", "168.63.129.16", "fd00:ec2::254"}},
        {"169.254.169.254/31,fd20:ce::/127", {}, {"169.254.169.254", "fd20:ce::254"}},
        {"169.254.169.254/32,fd20:ce::254/128",
         {"169.254.169.254", "64:ff9b::169.254.169.254", "fd20:ce::254"},
         {"169.254.170.2", "fd00:ec2::254"}},
        {"0.0.0.0/0", {"127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"}, {"::1", "fe80::1"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err e = ERR_INIT;
        assert_true(net_guard_open(cases[i].allow, &e));
        for (size_t k = 0; k < 5 && cases[i].yes[k]; k++)
            if (!may(cases[i].yes[k]))
                fail_msg("%s does not open %s", cases[i].allow, cases[i].yes[k]);
        for (size_t k = 0; k < 5 && cases[i].no[k]; k++)
            if (may(cases[i].no[k]))
                fail_msg("%s opens %s", cases[i].allow, cases[i].no[k]);
    }
}

static void t07_a_setting_that_says_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"localhost", "metadata", "public", "10.0.0.0/33",     "10.0.0.0/-1",
                                      "10.0.0.0/", "::/129",   "/8",     "loopback private"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct err e = ERR_INIT;
        if (net_guard_open(bad[i], &e))
            fail_msg("http.allow = %s is taken", bad[i]);
        assert_int_equal(e.code, ERR_CONFIG);
        assert_holds(e.text, "http.allow");
    }
}

static void t08_numbers_in_every_form(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1", "127.1",      "2130706433",     "0x7f000001",
                                           "0x7f.1",    "0177.0.0.1", "017700000001",   "[::1]",
                                           "::1",       "127.0.0.1.", "[::ffff:7f00:1]"};
    static const char *const names[] = {
        "",           ".",   "[]",   "localhost", "1.2.3.4.5",          "256.1.1.1",
        "127.0.0.1x", "a.1", "[::1", "1e3",       "[127.0.0.1.example]"};
    struct sockaddr_storage a;
    for (size_t i = 0; i < COUNT_OF(loopback); i++)
        assert_int_equal(class_of(loopback[i]), NET_LOOPBACK);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (net_literal(span_of(names[i]), &a))
            fail_msg("%s is taken for a number", names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_addresses_of_ipv4),           cmocka_unit_test(t02_their_disguises_are_the_same),
        cmocka_unit_test(t03_addresses_of_ipv6),           cmocka_unit_test(t04_other_families),
        cmocka_unit_test(t05_only_the_public_is_open),     cmocka_unit_test(t06_what_is_opened),
        cmocka_unit_test(t07_a_setting_that_says_nothing), cmocka_unit_test(t08_numbers_in_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
