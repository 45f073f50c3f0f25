/* The table of settings as help, sample, manual, and as it stands. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/conf_sections.h"

static bool put_with_unit(struct buf *out, int64_t number, int64_t factor, const char *suffix)
{
    if (number == 0 || number % factor != 0)
        return false;
    buf_printf(out, "%" PRId64 "%s", number / factor, suffix);
    return true;
}

void conf_put_number(struct buf *out, enum conf_type type, int64_t number)
{
    if (type == CONF_bool)
        buf_puts(out, number ? "true" : "false");
    else if (type == CONF_mode)
        buf_printf(out, "%04" PRIo64, (uint64_t)number);
    else if (type == CONF_ms &&
             (put_with_unit(out, number, 86400000, "d") || put_with_unit(out, number, 3600000, "h") ||
              put_with_unit(out, number, 60000, "m") || put_with_unit(out, number, 1000, "s") ||
              put_with_unit(out, number, 1, "ms")))
        return;
    else if (type == CONF_size &&
             (put_with_unit(out, number, INT64_C(1) << 40, "T") || put_with_unit(out, number, 1 << 30, "G") ||
              put_with_unit(out, number, 1 << 20, "M") || put_with_unit(out, number, 1 << 10, "K")))
        return;
    else
        buf_int(out, number);
}

void conf_put_range(struct buf *out, const struct conf_row *row)
{
    if (row->words) {
        for (size_t i = 0; row->words[i]; i++)
            buf_printf(out, "%s%s", i == 0 ? "" : row->words[i + 1] ? ", " : " or ", row->words[i]);
    } else if (row->type == CONF_bool) {
        buf_puts(out, "true or false");
    } else {
        buf_puts(out, conf_is_text(row)        ? "a text of "
                      : row->type == CONF_int  ? "a whole number from "
                      : row->type == CONF_mode ? "octal, from "
                                               : "from ");
        conf_put_number(out, row->type, row->min);
        buf_puts(out, " to ");
        conf_put_number(out, row->type, row->max);
        if (conf_is_text(row))
            buf_puts(out, row->type == CONF_lines ? " characters, in any number of lines" : " characters");
    }
}

void conf_put_word(struct buf *out, const struct conf_row *row)
{
    if (conf_is_text(row))
        buf_puts(out, row->word);
    else
        conf_put_number(out, row->type, row->number);
}

void conf_help(struct buf *out)
{
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        size_t start = out->len;
        buf_printf(out, "  --%s.%s=", row->section, row->name);
        conf_put_word(out, row);
        size_t width = out->len - start;
        if (width > 30)
            buf_printf(out, "\n%*s", 32, "");
        else
            buf_printf(out, "%*s", (int)(32 - width), "");
        buf_printf(out, "%s\n", row->text);
    }
    sections_help(out);
}

static bool is_new_section(size_t i)
{
    return i == 0 || strcmp(conf_rows[i].section, conf_rows[i - 1].section) != 0;
}

void conf_sample(struct buf *out)
{
    buf_puts(
        out,
        "; Settings of Lathe: every one of them, at its default. Take away the mark to change one.\n"
        "; The environment (LATHE_SECTION_NAME) and the command line (--section.name=VALUE) go before this file.\n"
        "; Times: 500ms 10s 5m 1h 1d. Sizes: 64K 64M 1G.  (R): SIGHUP applies a change; the others need a restart.\n");
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (is_new_section(i))
            buf_printf(out, "\n[%s]\n", row->section);
        buf_printf(out, "; %s%s\n;   ", row->text, row->reload ? " (R)" : "");
        conf_put_range(out, row);
        buf_printf(out, "\n;%s =", row->name);
        if (row->type != CONF_text || *row->word)
            buf_char(out, ' ');
        conf_put_word(out, row);
        buf_char(out, '\n');
    }
    sections_sample(out);
}

void conf_manual(struct buf *out)
{
    buf_puts(
        out,
        "# Settings\n\n"
        "Made from `src/core/settings.def` (a test compares). Each setting can stand in the file (`[section]`, "
        "`name = value`;\n`--conf=FILE`, else `$LATHE_CONF`, else `/etc/lathe/lathe.conf`), in the environment "
        "(`LATHE_SECTION_NAME`) and on the\ncommand line (`--section.name=VALUE`); the later of these wins. A "
        "setting that does not exist, or a value out of its\nrange, ends the start with a message that names "
        "file and line. Times take `ms s m h d`, sizes `K M G T` (of 1024).\nIn the file a value ends before "
        "` ;`; a line of more than about 200 bytes is refused, use the environment for it.\n`SIGHUP` reads everything again "
        "and applies the settings marked *reload*; the log names changed ones that need a restart.\n");
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (is_new_section(i))
            buf_printf(
                out, "\n## %s\n\n| setting | default | allowed | reload | meaning |\n|---|---|---|---|---|\n",
                row->section);
        buf_printf(out, "| `%s.%s` | ", row->section, row->name);
        bool empty = row->type == CONF_text && !*row->word;
        buf_puts(out, empty ? "" : "`");
        conf_put_word(out, row);
        buf_puts(out, empty ? "(empty) | " : "` | ");
        conf_put_range(out, row);
        buf_printf(out, " | %s | %s |\n", row->reload ? "yes" : "", row->text);
    }
    sections_manual(out);
}

/* "password" and what follows it up to the value; 0: there is none here. libpq takes blanks on both sides of the sign. */
static size_t password_sign(struct span text)
{
    size_t n = strlen("password");
    if (!span_starts(text, "password"))
        return 0;
    while (n < text.len && char_is_space(text.ptr[n]))
        n++;
    if (n == text.len || text.ptr[n++] != '=')
        return 0;
    while (n < text.len && char_is_space(text.ptr[n]))
        n++;
    return n;
}

/* A text with the passwords of URIs (//user:password@) and connection strings (password=…) left out. */
static void put_redacted(struct buf *out, struct span text)
{
    while (text.len) {
        size_t sign = password_sign(text);
        if (sign > 0) {
            span_take(&text, sign);
            buf_puts(out, "password=***");
            bool quoted = text.len && *text.ptr == '\'';
            size_t n = quoted ? 1 : 0;
            while (n < text.len && (quoted ? text.ptr[n] != '\'' : !strchr(" \t\n&", text.ptr[n])))
                n += quoted && text.ptr[n] == '\\' && n + 1 < text.len ? 2 : 1;
            span_take(&text, quoted && n < text.len ? n + 1 : n);
        } else if (span_starts(text, "://")) {
            span_take(&text, 3);
            buf_puts(out, "://");
            size_t host = 0;
            while (host < text.len && text.ptr[host] != '/')
                host++;
            const char *at = host ? memrchr(text.ptr, '@', host) : NULL;
            if (at) {
                struct span user = span_take(&text, (size_t)(at - text.ptr));
                bool secret = memchr(user.ptr, ':', user.len) != NULL;
                buf_span(out, span_cut(&user, ':'));
                buf_puts(out, secret ? ":***" : "");
            }
        } else {
            buf_span(out, span_take(&text, 1));
        }
    }
}

void conf_put_value(struct buf *out, const struct conf_row *row, const void *base)
{
    const char *at = (const char *)base + row->offset;
    if (conf_is_text(row)) {
        const char *text = *(const char *const *)(const void *)at;
        if (row->secret)
            buf_puts(out, *text ? "***" : "");
        else
            put_redacted(out, span_of(text));
    } else if (row->type == CONF_bool) {
        conf_put_number(out, CONF_bool, *(const bool *)at);
    } else {
        conf_put_number(out, row->type, *(const int64_t *)(const void *)at);
    }
}

void conf_show(const struct conf *c, struct buf *out)
{
    for (size_t i = 0; i < conf_row_count; i++) {
        buf_printf(out, "%s.%s = ", conf_rows[i].section, conf_rows[i].name);
        conf_put_value(out, &conf_rows[i], c);
        buf_char(out, '\n');
    }
    sections_show(c, out);
}
