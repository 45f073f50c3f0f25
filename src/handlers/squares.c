#include "handlers/squares.h"

/* The empty asm makes every addition happen: compilers know the closed form of this sum. */
uint64_t squares_sum_plain(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t i = from; i < to; i++) {
        sum += i * i;
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

#ifdef __x86_64__
#include <immintrin.h>

#define AT_ONCE 8

static __attribute__((target("avx2"))) uint64_t sum_lanes(__m256i v)
{
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);
}

/*
 * All i have the same upper half h; l is the lower one. Then i*i = l*l + 2*l*h*2^32 + h*h*2^64: the processor multiplies
 * halves, four at once, the sum of all l is multiplied at the end, and the last term is 0 modulo 2^64.
 */
static __attribute__((target("avx2"))) uint64_t sum_avx2(uint64_t from, uint64_t to)
{
    const __m256i eight = _mm256_set1_epi64x(AT_ONCE);
    uint64_t low = from & UINT32_MAX, high = from >> 32, i = from;
    __m256i a = _mm256_add_epi64(_mm256_set1_epi64x((int64_t)low), _mm256_setr_epi64x(0, 1, 2, 3));
    __m256i b = _mm256_add_epi64(a, _mm256_set1_epi64x(4));
    __m256i squares_a = _mm256_setzero_si256(), squares_b = squares_a, sum_a = squares_a, sum_b = squares_a;
    for (; to - i >= AT_ONCE; i += AT_ONCE) {
        squares_a = _mm256_add_epi64(squares_a, _mm256_mul_epu32(a, a));
        squares_b = _mm256_add_epi64(squares_b, _mm256_mul_epu32(b, b));
        sum_a = _mm256_add_epi64(sum_a, a);
        sum_b = _mm256_add_epi64(sum_b, b);
        a = _mm256_add_epi64(a, eight);
        b = _mm256_add_epi64(b, eight);
    }
    return sum_lanes(_mm256_add_epi64(squares_a, squares_b)) +
           (sum_lanes(_mm256_add_epi64(sum_a, sum_b)) * high << 33) + squares_sum_plain(i, to);
}

uint64_t squares_sum(uint64_t from, uint64_t to)
{
    if (!__builtin_cpu_supports("avx2"))
        return squares_sum_plain(from, to);
    uint64_t sum = 0;
    while (from < to) {
        uint64_t last = from | UINT32_MAX, end = last < to - 1 ? last + 1 : to;
        sum += sum_avx2(from, end);
        from = end;
    }
    return sum;
}
#else
uint64_t squares_sum(uint64_t from, uint64_t to)
{
    return squares_sum_plain(from, to);
}
#endif
