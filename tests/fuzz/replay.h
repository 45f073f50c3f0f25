/*
 * replay.h: a main() for a fuzz target where there is no libFuzzer: it runs every file of tests/fuzz/corpus/NAME/, every
 * front of it, and some hundred mutations made from a fixed seed, so that make check fuzzes a little and always the same.
 * For the real thing: clang -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fsanitize=fuzzer,address,undefined …
 * tests/fuzz/fuzz_NAME.c liblathe.a, and the corpus as argument.
 */
#ifndef LATHE_FUZZ_REPLAY_H
#define LATHE_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, in every build: an assertion with the text of what did not. */
#define MUST(what)                                                             \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                           \
        }                                                                      \
    } while (0)

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION

#include <dirent.h>
#include <string.h>

#include "core/buf.h"
#include "core/file.h"

/* A copy of exactly the right size: a sanitizer sees a read behind its end. */
static void run_exact(const char *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    MUST(copy != NULL);
    if (n)
        memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void run_mutations(const struct buf *text, uint32_t seed)
{
    static const char odd[] = "\"\\{}[]:,0-9eE.u\0\x1f\x7f\x80\xc3\xed\xff \n=;/";
    char *copy = malloc(text->len + 1);
    MUST(copy != NULL);
    for (int round = 0; round < 300 && text->len > 0; round++) {
        memcpy(copy, text->ptr, text->len);
        for (uint32_t i = 0, changes = 1 + next_random(&seed) % 3; i < changes; i++)
            copy[next_random(&seed) % text->len] = odd[next_random(&seed) % (sizeof odd - 1)];
        run_exact(copy, text->len);
    }
    free(copy);
}

static void run_file(const char *path, uint32_t seed)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(1u << 20);
    struct err e = ERR_INIT;
    MUST(file_read(path, &text, &e));
    for (size_t n = text.len > 2000 ? text.len : 0; n <= text.len; n++)
        run_exact(text.ptr, n);
    run_mutations(&text, seed);
}

static int run_corpus(const char *name)
{
    const char *top = getenv("top_srcdir");
    char dir[3000], path[4000];
    int count = 0;
    snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/%s", top ? top : ".", name);
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d));) {
        if (f->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        run_file(path, (uint32_t)++count);
        printf("ok %d - %s\n", count, f->d_name);
        fflush(stdout);
    }
    if (d)
        closedir(d);
    if (count == 0)
        printf("Bail out! no files in %s\n", dir);
    else
        printf("1..%d\n", count);
    return count == 0;
}

#define FUZZ_MAIN(name)          \
    int main(void)               \
    {                            \
        return run_corpus(name); \
    }
#else
#define FUZZ_MAIN(name)
#endif

#endif
