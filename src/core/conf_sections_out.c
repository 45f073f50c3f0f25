/* The tables of sections as help, sample, manual, and as they stand. */
#include <string.h>

#include "core/conf_sections.h"

void sections_help(struct buf *out)
{
    buf_puts(out, "\nIn the configuration file, any number of times, each under a name:\n\n");
    for (size_t k = 0; k < conf_kind_count; k++)
        buf_printf(out, "  [%s NAME]\n%*s%s\n", conf_kinds[k].name, 32, "", conf_kinds[k].text);
}

static void put_sample(struct buf *out, const struct conf_row *row)
{
    bool empty = conf_is_text(row) && !*row->word;
    buf_printf(out, "; %s%s\n;   ", row->text, row->required ? " (needed)" : "");
    conf_put_range(out, row);
    buf_printf(out, "\n;%s =%s", row->name, empty ? "" : " ");
    conf_put_word(out, row);
    buf_char(out, '\n');
}

void sections_sample(struct buf *out)
{
    buf_puts(
        out,
        "\n"
        "; Sections of the following kinds may stand here any number of times, each under a name of its own. They stand in\n"
        "; the file only, and a change needs a restart.\n");
    for (size_t k = 0; k < conf_kind_count; k++) {
        buf_printf(out, "\n; %s\n;[%s %s]\n", conf_kinds[k].text, conf_kinds[k].name, conf_kinds[k].example);
        for (size_t i = 0; i < conf_kinds[k].row_count; i++)
            put_sample(out, &conf_kinds[k].rows[i]);
    }
}

void sections_manual(struct buf *out)
{
    buf_puts(
        out,
        "\n# Sections with a name\n\n"
        "Made from `src/core/sections.def`. They may stand in the file any number of times, each under a name of its own "
        "(letters,\ndigits, `.`, `-` and `_`), in the file only, and a change needs a restart. A text *in any number of "
        "lines* goes on in\nindented ones. What is *needed* has no default: the table shows an example.\n");
    for (size_t k = 0; k < conf_kind_count; k++) {
        const struct conf_kind *kind = &conf_kinds[k];
        buf_printf(out, "\n## [%s NAME]\n\n%s.\n\n", kind->name, kind->text);
        buf_puts(out, "| field | default | allowed | needed | meaning |\n|---|---|---|---|---|\n");
        for (size_t i = 0; i < kind->row_count; i++) {
            const struct conf_row *row = &kind->rows[i];
            bool empty = conf_is_text(row) && !*row->word;
            buf_printf(out, "| `%s` | %s", row->name, empty ? "" : "`");
            conf_put_word(out, row);
            buf_puts(out, empty ? "(empty) | " : "` | ");
            conf_put_range(out, row);
            buf_printf(out, " | %s | %s |\n", row->required ? "yes" : "", row->text);
        }
    }
}

/* As the file has it: what follows the first line is indented. */
static void put_indented(struct buf *out, struct span text)
{
    while (text.len) {
        buf_span(out, span_cut(&text, '\n'));
        buf_puts(out, text.len ? "\n    " : "");
    }
}

void sections_show(const struct conf *c, struct buf *out)
{
    for (size_t k = 0; k < conf_kind_count; k++) {
        const struct conf_kind *kind = &conf_kinds[k];
        for (size_t i = 0; i < section_count(c, kind); i++) {
            const struct section_head *s = section_at(c, kind, i);
            buf_printf(out, "\n[%s %s]\n", kind->name, s->name);
            for (size_t j = 0; j < kind->row_count; j++) {
                struct buf value CLEANUP(buf_release) = BUF_INIT(64u << 10);
                conf_put_value(&value, &kind->rows[j], s);
                buf_printf(out, "%s = ", kind->rows[j].name);
                put_indented(out, buf_view(&value));
                buf_char(out, '\n');
            }
        }
    }
}
