#include "store/params.h"

#include <assert.h>
#include <endian.h>

/* An array: number of dimensions, has-NULL flag, element type; then length and lower bound of the one dimension. */
#define ARRAY_HEAD 12

void params_release(struct params *p)
{
    buf_release(&p->bytes);
}

void params_clear(struct params *p)
{
    buf_clear(&p->bytes);
    p->count = 0;
    p->elements = -1;
}

/* ---- plain values ---- */

static void put_32(struct params *p, int32_t v)
{
    uint32_t wire = htobe32((uint32_t)v);
    buf_put(&p->bytes, &wire, sizeof wire);
}

static void put_64(struct params *p, int64_t v)
{
    uint64_t wire = htobe64((uint64_t)v);
    buf_put(&p->bytes, &wire, sizeof wire);
}

static void put_num(struct params *p, double v)
{
    int64_t bits;
    static_assert(sizeof bits == sizeof v, "a double is 8 bytes in PostgreSQL");
    memcpy(&bits, &v, sizeof bits);
    put_64(p, bits);
}

static void begin(struct params *p)
{
    assert(p->count < PARAMS_MOST && p->elements < 0);
    p->at[p->count] = p->bytes.len;
}

static void end(struct params *p)
{
    p->len[p->count] = (int)(p->bytes.len - p->at[p->count]);
    p->count++;
}

void params_null(struct params *p)
{
    begin(p);
    p->len[p->count++] = -1;
}

void params_uuid(struct params *p, struct uuid v)
{
    if (uuid_is_nil(v)) {
        params_null(p);
        return;
    }
    begin(p);
    buf_put(&p->bytes, v.b, sizeof v.b);
    end(p);
}

void params_int(struct params *p, int64_t v)
{
    begin(p);
    put_64(p, v);
    end(p);
}

void params_num(struct params *p, double v)
{
    begin(p);
    put_num(p, v);
    end(p);
}

void params_bool(struct params *p, bool v)
{
    begin(p);
    buf_char(&p->bytes, v ? 1 : 0);
    end(p);
}

void params_text(struct params *p, struct span v)
{
    begin(p);
    buf_span(&p->bytes, v);
    end(p);
}

void params_time(struct params *p, int64_t us)
{
    if (us == 0)
        params_null(p);
    else
        params_int(p, us - PG_EPOCH_US);
}

/* ---- arrays ---- */

void params_array(struct params *p, enum pg_type type)
{
    begin(p);
    p->array = p->bytes.len;
    p->type = type;
    p->elements = 0;
    put_32(p, 1);
    put_32(p, 1);
    put_32(p, (int32_t)type);
    put_32(p, 0); /* the length: params_end */
    put_32(p, 1);
}

static void element(struct params *p, enum pg_type type, size_t len)
{
    assert(p->elements >= 0 && p->type == type);
    p->elements++;
    put_32(p, (int32_t)len);
}

void element_null(struct params *p)
{
    element(p, p->type, (size_t)-1);
}

void element_uuid(struct params *p, struct uuid v)
{
    if (uuid_is_nil(v)) {
        element_null(p);
        return;
    }
    element(p, PG_UUID, sizeof v.b);
    buf_put(&p->bytes, v.b, sizeof v.b);
}

void element_int(struct params *p, int64_t v)
{
    element(p, PG_INT, sizeof v);
    put_64(p, v);
}

void element_num(struct params *p, double v)
{
    element(p, PG_NUM, sizeof v);
    put_num(p, v);
}

void element_bool(struct params *p, bool v)
{
    element(p, PG_BOOL, 1);
    buf_char(&p->bytes, v ? 1 : 0);
}

void element_span(struct params *p, struct span v)
{
    assert(p->type == PG_TEXT || p->type == PG_BYTES);
    element(p, p->type, v.len);
    buf_span(&p->bytes, v);
}

void element_text(struct params *p, struct span v)
{
    if (v.len == 0)
        element_null(p);
    else
        element_span(p, v);
}

void element_time(struct params *p, int64_t us)
{
    if (us == 0) {
        element_null(p);
        return;
    }
    element(p, PG_TIME, sizeof us);
    put_64(p, us - PG_EPOCH_US);
}

void params_end(struct params *p)
{
    assert(p->elements >= 0);
    if (!p->bytes.failed && p->elements == 0) {
        /* An empty array has no dimension at all. */
        memset(p->bytes.ptr + p->array, 0, 8);
        p->bytes.len = p->array + ARRAY_HEAD;
    } else if (!p->bytes.failed) {
        uint32_t wire = htobe32((uint32_t)p->elements);
        memcpy(p->bytes.ptr + p->array + ARRAY_HEAD, &wire, sizeof wire);
    }
    p->elements = -1;
    end(p);
}
