#include "handlers/filler.h"

#include <pthread.h>
#include <string.h>

#define WORDS 4096 /* 12 bits of a random number, five times in 64 */
#define AT_ONCE 5

static struct {
    char text[WORDS][8]; /* with its blank, 8 bytes at most */
    unsigned char length[WORDS];
} table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* splitmix64: neighbouring seeds have nothing in common. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The word of this rank, consonants and vowels in turns; those of the first ranks are short. */
static size_t spell(uint64_t rank, char text[8])
{
    static const char consonants[] = "tnshrdlcmfwgypbvk", vowels[] = "aeoiu";
    size_t n = 1 + mix(rank) % 4 + (rank > 20) + (rank > 200);
    for (size_t i = 0; i < n; i++) {
        uint64_t h = mix(rank * 8 + i + 1);
        text[i] = i % 2 ? vowels[h % (sizeof vowels - 1)] : consonants[h % (sizeof consonants - 1)];
    }
    text[n] = ' ';
    return n + 1;
}

/* A word has as many places as it is common: the cube makes few ranks frequent, as in a language. */
static void prepare(void)
{
    for (uint64_t i = 0; i < WORDS; i++) {
        uint64_t u = mix(i) % WORDS, rank = u * u / WORDS * u / WORDS;
        table.length[i] = (unsigned char)spell(rank, table.text[i]);
    }
}

void filler_begin(struct filler *f, uint64_t seed)
{
    pthread_once(&once, prepare);
    f->x = mix(seed);
    f->over = 0;
}

void filler_take(struct filler *f, char *bytes, size_t n)
{
    char *at = bytes, *end = bytes + n;
    uint64_t x = f->x;
    memcpy(at, f->rest, sizeof f->rest);
    at += f->over;
    while (at < end) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = x ^ x >> 29;
        for (int i = 0; i < AT_ONCE; i++, bits >>= 12) {
            memcpy(at, table.text[bits % WORDS], 8);
            at += table.length[bits % WORDS];
        }
    }
    f->x = x;
    f->over = (size_t)(at - end);
    memcpy(f->rest, end, sizeof f->rest);
}
