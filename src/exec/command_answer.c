#include "exec/command_answer.h"

#include "core/field.h"

/* Between its tokens JSON may have line ends, inside them it has none. */
static void put_on_one_line(struct buf *out, struct span json)
{
    size_t at = out->len;
    buf_span(out, json);
    for (; at < out->len; at++)
        if (out->ptr[at] == '\n' || out->ptr[at] == '\r')
            out->ptr[at] = ' ';
}

void answer_ask(struct buf *out, int64_t id, int64_t index, int64_t tries, struct span input,
                struct span params)
{
    buf_puts(out, "{\"id\":");
    buf_int(out, id);
    buf_puts(out, ",\"index\":");
    buf_int(out, index);
    if (tries > 0) {
        buf_puts(out, ",\"tries\":");
        buf_int(out, tries);
    }
    if (input.len) {
        buf_puts(out, ",\"input\":");
        put_on_one_line(out, input);
    }
    if (params.len) {
        buf_puts(out, ",\"params\":");
        put_on_one_line(out, params);
    }
    buf_puts(out, "}\n");
}

static bool refuse(struct err *e, const char *what, struct span line)
{
    struct buf shown CLEANUP(buf_release) = BUF_INIT(400);
    field_show(line, &shown);
    return err_set(e, ERR_COMMAND, "%s: " SPAN_FMT, what, SPAN_ARG(buf_view(&shown)));
}

static bool read_text(const struct json *v, struct span *ret)
{
    if (json_type(v) != JSON_TEXT)
        return false;
    *ret = json_as_text(v);
    return true;
}

bool answer_read(struct arena *a, struct span line, struct answer *ret, struct err *e)
{
    const struct json *o, *v;
    struct err why = ERR_INIT;
    if (!json_read(a, line, &o, &why) || json_type(o) != JSON_OBJECT)
        return refuse(e, "it answered a line that is no JSON object", line);
    if (json_type(v = json_member(o, "id")) != JSON_INT)
        return refuse(e, "it answered a line without the id of an item", line);
    *ret = (struct answer){.id = json_as_int(v), .again = true};
    bool good = true;
    if ((v = json_member(o, "error"))) {
        const struct json *again = json_member(o, "retry");
        ret->kind = ANSWER_ERROR;
        good = read_text(v, &ret->text) && (!again || json_type(again) == JSON_BOOL);
        if (good && again)
            ret->again = json_as_bool(again);
    } else if ((v = json_member(o, "log"))) {
        ret->kind = ANSWER_LOG;
        good = read_text(v, &ret->text);
    } else if ((v = json_member(o, "progress"))) {
        ret->kind = ANSWER_PROGRESS;
        good = json_type(v) == JSON_INT || json_type(v) == JSON_NUM;
        if (good)
            ret->progress = json_as_num(v);
    } else {
        ret->kind = ANSWER_RESULT;
        ret->result = json_member(o, "result"); /* NULL if it is not there: then it is null */
    }
    return good || refuse(e, "it answered a line of the wrong types", line);
}
