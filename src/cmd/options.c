/* Options out of argv. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/options.h"

static void take_out(int *argc, char **argv, int at, int n)
{
    for (int i = at; i + n <= *argc; i++) /* with the NULL at the end */
        argv[i] = argv[i + n];
    *argc -= n;
}

static bool is_option(struct span word)
{
    return word.len > 1 && word.ptr[0] == '-';
}

/* "items-count" names the field items_count. */
static const struct field *by_name(const struct fields *f, struct span name)
{
    for (size_t i = 0; i < f->count; i++) {
        const char *field = f->list[i].name;
        size_t k = 0;
        for (;
             k < name.len && field[k] && (field[k] == name.ptr[k] || (field[k] == '_' && name.ptr[k] == '-'));
             k++)
            ;
        if (k == name.len && field[k] == '\0')
            return &f->list[i];
    }
    return NULL;
}

static const struct field *by_letter(const struct fields *f, const char *shorts, struct span letter)
{
    struct span rest = span_of(shorts);
    while (rest.len) {
        struct span name = span_cut(&rest, ' ');
        if (span_eq(span_cut(&name, '='), letter))
            return by_name(f, name);
    }
    return NULL;
}

/* The field that the word names, and the value behind its '=' if there is one. */
static const struct field *field_of(const struct fields *f, const char *shorts, const char *word,
                                    struct span *ret_value, bool *ret_has_value)
{
    struct span value = span_of(word);
    if (!is_option(value))
        return NULL;
    struct span name = span_cut(&value, '=');
    *ret_has_value = name.len < strlen(word);
    *ret_value = value;
    if (span_starts(name, "--")) {
        span_take(&name, 2);
        return by_name(f, name);
    }
    span_take(&name, 1);
    return by_letter(f, shorts, name);
}

bool options_each(const struct fields *f, const char *shorts, int *argc, char **argv,
                  bool (*found)(void *arg, const struct field *field, struct span value, struct err *e),
                  void *arg, struct err *e)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0;) {
        struct span value;
        bool has_value;
        int used = 1;
        const struct field *field = field_of(f, shorts, argv[i], &value, &has_value);
        if (!field) {
            i++;
            continue;
        }
        if (!has_value && field->type == FIELD_BOOL) {
            value = SPAN("true");
        } else if (!has_value) {
            if (i + 1 == *argc)
                return err_set(e, ERR_USAGE, "%s needs a value: %s", argv[i], field->summary);
            value = span_of(argv[i + 1]);
            used = 2;
        }
        if (!found(arg, field, value, e))
            return false;
        take_out(argc, argv, i, used);
    }
    return true;
}

struct target {
    const struct fields *fields;
    void *target;
};

static bool set_field(void *arg, const struct field *field, struct span value, struct err *e)
{
    const struct target *t = arg;
    return fields_set(t->fields, span_of(field->name), value, t->target, e);
}

bool options_take(const struct fields *f, const char *shorts, int *argc, char **argv, void *target,
                  struct err *e)
{
    struct target t = {f, target};
    return options_each(f, shorts, argc, argv, set_field, &t, e);
}

bool options_next(const char *name, const char *letter, int *argc, char **argv, const char **ret,
                  struct err *e)
{
    size_t len = strlen(name);
    *ret = NULL;
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        char *word = argv[i];
        if (strncmp(word, name, len) == 0 && word[len] == '=') {
            *ret = word + len + 1;
            take_out(argc, argv, i, 1);
            return true;
        }
        if (strcmp(word, name) != 0 && strcmp(word, letter) != 0)
            continue;
        if (i + 1 == *argc)
            return err_set(e, ERR_USAGE, "%s needs a value", word);
        *ret = argv[i + 1];
        take_out(argc, argv, i, 2);
        return true;
    }
    return true;
}

bool options_words(int argc, char **argv, int least, int most, struct err *e)
{
    int words = argc - 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            words--;
            break;
        }
        if (is_option(span_of(argv[i])))
            return err_set(e, ERR_USAGE, "there is no option %s; lathe %s --help lists them", argv[i],
                           argv[0]);
    }
    if (words < least)
        return err_set(e, ERR_USAGE, "something is missing; see lathe %s --help", argv[0]);
    if (words > most)
        return err_set(e, ERR_USAGE, "there is no use for \"%s\"; see lathe %s --help", argv[argc - 1],
                       argv[0]);
    return true;
}

static const char *letter_of(const struct field *field, const struct fields *f, const char *shorts,
                             char text[8])
{
    for (char c = 'a'; c <= 'z'; c++)
        if (by_letter(f, shorts, (struct span){&c, 1}) == field) {
            snprintf(text, 8, "-%c, ", c);
            return text;
        }
    return "    ";
}

static const char *value_of(const struct field *field)
{
    switch (field->type) {
    case FIELD_INT:
    case FIELD_NUM:
        return "=N";
    case FIELD_TEXT:
        return "=TEXT";
    case FIELD_ENUM:
        return "=WORD";
    case FIELD_BOOL:
        return "";
    case FIELD_JSON:
        return "=JSON";
    }
    return "";
}

static void put_default(const struct field *f, struct buf *out)
{
    if (f->type == FIELD_INT && f->def != 0)
        buf_printf(out, " (%" PRId64 ")", f->def);
    else if (f->type == FIELD_BOOL && f->def)
        buf_puts(out, " (true)");
    else if (f->type == FIELD_TEXT && f->def_text && f->def_text[0])
        buf_printf(out, " (%s)", f->def_text);
    else if (f->type == FIELD_ENUM)
        buf_printf(out, " (%s)", f->words[f->def]);
}

void options_help(const struct fields *f, const char *shorts, struct buf *out)
{
    for (size_t i = 0; i < f->count; i++) {
        char letter[8], option[64];
        snprintf(option, sizeof option, "%s%s", f->list[i].name, value_of(&f->list[i]));
        for (char *c = option; *c && *c != '='; c++)
            *c = *c == '_' ? '-' : *c;
        buf_printf(out, "  %s--%-26s %s", letter_of(&f->list[i], f, shorts, letter), option,
                   f->list[i].summary);
        put_default(&f->list[i], out);
        buf_char(out, '\n');
    }
}
