/* model/cron.h: an expression fires at times that go up; behind a line end the bytes of a time zone. */
#include "fuzz/replay.h"

#include "model/cron.h"

static void check(const struct cron *c, const struct zone *z)
{
    int64_t at = 1700000000, last;
    for (int i = 0; i < 50; i++) {
        int64_t next;
        if (!cron_next(c, z, at, &next))
            return; /* a zone of nonsense may have no such day */
        MUST(next > at);
        at = next;
        MUST(cron_last(c, z, at - 1000, at, &last) && last == at);
    }
}

static void check_zone(const struct zone *z)
{
    for (int64_t t = -5000000000; t < 9000000000; t += 123456789) {
        struct zone_span s = zone_at(z, t);
        MUST(s.from <= t && t < s.until);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span rest = {(const char *)data, size};
    struct span text = span_cut(&rest, '\n');
    const struct zone *utc, *z;
    struct err e = ERR_INIT;
    struct cron c;
    MUST(zone_load(&a, SPAN("UTC"), &utc, NULL));
    bool good = cron_read(text, &c, &e);
    MUST(good || (e.code == ERR_BAD_FIELD && e.text[0]));
    if (good)
        check(&c, utc);
    if (zone_parse(&a, rest, &z, NULL)) {
        check_zone(z);
        if (good)
            check(&c, z);
    }
    return 0;
}

FUZZ_MAIN("cron")
