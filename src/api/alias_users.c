/* What clients of other systems send to make users. */
#include <stdio.h>

#include "api/alias.h"

static bool missing(struct err *e, const char *pointer, const char *what)
{
    return err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" must be %s", pointer, what);
}

/* ---- {"username": …, "email": …} */

struct user {
    char username[256], name[256], email[256];
    int64_t age;
    bool age_given;
};

static const struct field user_list[] = {
    {.name = "username",
     .type = FIELD_TEXT,
     .offset = offsetof(struct user, username),
     .max = 255,
     .def_text = "",
     .summary = "the user's name"},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct user, name),
     .max = 255,
     .def_text = "",
     .summary = "the same"},
    {.name = "email",
     .type = FIELD_TEXT,
     .offset = offsetof(struct user, email),
     .max = 254,
     .def_text = "",
     .summary = "the address, which only one user has"},
    {.name = "age",
     .type = FIELD_INT,
     .offset = offsetof(struct user, age),
     .min = 0,
     .max = 200,
     .given = offsetof(struct user, age_given),
     .summary = "years"},
};
static const struct fields user_fields = FIELDS(user_list, struct user);

static bool put_user(const struct user *u, const char *at, struct json_out *o, struct err *e)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "%.40s/%s", at, u->email[0] ? "name" : "email");
    if (u->email[0] == '\0')
        return missing(e, pointer, "an address");
    if (u->name[0] && u->username[0])
        return missing(e, pointer, "left out where there is a username");
    json_open(o, '{');
    json_key(o, "email");
    json_put_str(o, u->email);
    if (u->name[0] || u->username[0]) {
        json_key(o, "name");
        json_put_str(o, u->name[0] ? u->name : u->username);
    }
    if (u->age_given) {
        json_key(o, "age");
        json_put_int(o, u->age);
    }
    json_close(o, '}');
    return true;
}

static bool write_user(const void *values, struct json_out *o, struct err *e)
{
    json_key(o, "items");
    json_open(o, '[');
    if (!put_user(values, "", o, e))
        return false;
    json_close(o, ']');
    return true;
}

const struct alias_form form_user = {.fields = &user_fields,
                                     .items = "/email",
                                     .write = write_user,
                                     .single = true};

/* ---- {"users": […]} or {"count": 100} */

struct users {
    const struct json *users;
    int64_t count;
    bool count_given;
};

static const struct field many_list[] = {
    {.name = "users",
     .type = FIELD_JSON,
     .offset = offsetof(struct users, users),
     .summary = "list of users"},
    {.name = "count",
     .type = FIELD_INT,
     .offset = offsetof(struct users, count),
     .min = 1,
     .max = LIMIT_ITEMS,
     .def = 1,
     .given = offsetof(struct users, count_given),
     .summary = "or how many are made up"},
};
static const struct fields users_fields = FIELDS(many_list, struct users);

static bool put_users(const struct json *list, struct json_out *o, struct err *e)
{
    char at[64];
    json_key(o, "items");
    json_open(o, '[');
    for (size_t i = 0; i < json_len(list); i++) {
        struct user u;
        snprintf(at, sizeof at, "/users/%zu", i);
        if (json_type(json_at(list, i)) != JSON_OBJECT)
            return missing(e, at, "an object");
        if (!fields_read(&user_fields, json_at(list, i), at, &u, e) || !put_user(&u, at, o, e))
            return false;
    }
    json_close(o, ']');
    return true;
}

static bool write_users(const void *values, struct json_out *o, struct err *e)
{
    const struct users *u = values;
    json_key(o, "batch_size");
    json_put_int(o, 2000);
    if (json_type(u->users) == JSON_NULL) {
        if (!u->count_given)
            return missing(e, "/users", "a list, unless there is \"/count\"");
        json_key(o, "items_count");
        json_put_int(o, u->count);
        return true;
    }
    if (json_type(u->users) != JSON_LIST || json_len(u->users) == 0)
        return missing(e, "/users", "a list of users");
    if (u->count_given)
        return missing(e, "/count", "left out where there is \"/users\"");
    return put_users(u->users, o, e);
}

const struct alias_form form_users = {.fields = &users_fields, .items = "/users", .write = write_users};
