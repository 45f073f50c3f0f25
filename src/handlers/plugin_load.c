/* plugin_load.c: the shared objects of a folder. */
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <lathe/handler.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/limits.h"
#include "core/log.h"
#include "handlers/plugin.h"

struct names {
    char *list[LIMIT_PLUGINS];
    size_t count;
};

/* Code of whoever could write here would run as we do. */
static bool trusted(const struct stat *st, const char *path, struct err *e)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return err_set(
            e, ERR_CONFIG,
            "%s belongs to user %u: plug-ins and their folder must belong to root or to the user that "
            "Lathe runs as",
            path, (unsigned)st->st_uid);
    if (st->st_mode & S_IWOTH)
        return err_set(e, ERR_CONFIG,
                       "%s may be written by everybody: plug-ins and their folder must not (chmod o-w)",
                       path);
    return !(st->st_mode & S_IWGRP) || st->st_gid == 0 ||
           err_set(e, ERR_CONFIG,
                   "%s may be written by group %u: plug-ins and their folder must not (chmod g-w)", path,
                   (unsigned)st->st_gid);
}

static bool is_plugin(const char *name)
{
    size_t n = strlen(name);
    return n > 3 && name[0] != '.' && strcmp(name + n - 3, ".so") == 0;
}

static bool gather(DIR *d, const char *dir, struct arena *a, struct names *ret, struct err *e)
{
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(d))) {
        if (!is_plugin(entry->d_name))
            continue;
        if (ret->count == LIMIT_PLUGINS)
            return err_set(e, ERR_CONFIG, "%s holds more than %u plug-ins", dir, LIMIT_PLUGINS);
        ret->list[ret->count++] = arena_text(a, span_of(entry->d_name));
    }
    return errno == 0 || err_errno(e, "cannot read %s", dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A name that something else has, or a variable that is too small, would be read past its end. */
static bool large_enough(const void *found)
{
    Dl_info info;
    void *extra = NULL;
    if (!dladdr1(found, &info, &extra, RTLD_DL_SYMENT) || !extra)
        return false;
    const ElfW(Sym) *symbol = extra;
    return (symbol->st_info & 0xf) == STT_OBJECT && symbol->st_size >= sizeof(struct lathe_plugin);
}

static bool add(void *object, const char *path, struct err *e)
{
    const struct lathe_plugin *p = dlsym(object, "lathe_plugin");
    if (!p)
        return err_set(e, ERR_CONFIG, "%s: it is no plug-in: it does not export lathe_plugin (LATHE_PLUGIN)",
                       path);
    if (!large_enough(p))
        return err_set(e, ERR_CONFIG,
                       "%s: what it exports as lathe_plugin is none: too small, or no constant", path);
    if (!plugin_add(p, e))
        return err_prefix(e, "%s", path);
    log_info("plugin.loaded", "file=%s handlers=%u", path, p->handlers_n);
    return true;
}

/* What does not fit is closed again only where none of it can be in use: nowhere; the program ends. */
static bool load(const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return err_errno(e, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_CONFIG, "%s is no file", path);
    if (!trusted(&st, path, e))
        return false;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return err_set(e, ERR_CONFIG, "it cannot be loaded: %s", dlerror());
    return add(object, path, e);
}

static bool load_all(const char *dir, const struct names *names, struct arena *a, struct err *e)
{
    for (size_t i = 0; i < names->count; i++)
        if (!load(arena_printf(a, "%s/%s", dir, names->list[i]), e))
            return err_prefix(e, "plug-in");
    return true;
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

bool plugins_load(const char *dir, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct names names = {0};
    struct stat st;
    bool optional = *dir == '\0';
    if (strcmp(dir, "none") == 0)
        return true;
    if (optional)
        dir = LATHE_HANDLERS_DIR;
    DIR *d CLEANUP(close_dir) = opendir(dir);
    if (!d && optional && errno == ENOENT)
        return true;
    if (!d || fstat(dirfd(d), &st) != 0)
        return err_set(e, ERR_CONFIG, "handlers.dir, %s, cannot be read: no such folder, or no permission",
                       dir);
    if (!trusted(&st, dir, e) || !gather(d, dir, &a, &names, e))
        return false;
    qsort(names.list, names.count, sizeof *names.list, by_name);
    return load_all(dir, &names, &a, e);
}
