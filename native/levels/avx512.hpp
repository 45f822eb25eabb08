// What the kernels of the AVX-512 level share.
#pragma once

#include <cstdint>

#include "levels/kernels.hpp"
#include "levels/simd_x86.hpp"

#define ISOHASH_AVX512 ISOHASH_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,popcnt")

namespace isohash {

using Vector = __m512i;
constexpr int64_t vector_bytes = 64;

// The level's direct kernel of a metric of symbols.
DirectKernel avx512_symbols(isohash_metric metric);

// Its kernel for batches of squared differences where the processor has VNNI, or null.
const BatchKernel *avx512_squares();

// Its kernel for batches of bits where the processor has VBMI and GFNI, or null.
const BatchKernel *avx512_slices();

ISOHASH_AVX512 inline Vector load(const void *p) { return _mm512_loadu_si512(p); }

// The first n bytes, the others 0; no others are read.
ISOHASH_AVX512 inline Vector load_first(const uint8_t *p, int64_t n) {
    return _mm512_maskz_loadu_epi8(n < 64 ? (UINT64_C(1) << n) - 1 : ~UINT64_C(0), p);
}

// Pairs of 128-bit quarters, added: the even and the odd quarters of a, then of b.
ISOHASH_AVX512 inline Vector add_quarters(Vector a, Vector b) {
    constexpr int even = 0x88, odd = 0xdd;
    return _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, even), _mm512_shuffle_i64x2(a, b, odd));
}

ISOHASH_AVX512 inline Vector add_words(Vector a, Vector b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

ISOHASH_AVX512 inline Vector add_halves(Vector a, Vector b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

// The totals of eight vectors of sixteen 32-bit sums each, in order.
ISOHASH_AVX512 inline __m256i eight_totals(const Vector v[8]) {
    const Vector left = add_words(add_halves(v[0], v[1]), add_halves(v[2], v[3]));
    const Vector right = add_words(add_halves(v[4], v[5]), add_halves(v[6], v[7]));
    const Vector both = add_quarters(left, right);
    return _mm512_castsi512_si256(add_quarters(both, both));
}

ISOHASH_AVX512 inline void store_8(int32_t *out, __m256i v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), v);
}

} // namespace isohash
