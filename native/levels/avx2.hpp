// What the kernels of the AVX2 level share.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "levels/kernels.hpp"

#define ISOHASH_AVX2 __attribute__((target("avx2,popcnt")))

namespace isohash {
namespace avx2 {

using Vector = __m256i;
constexpr int64_t vector_bytes = 32;

ISOHASH_AVX2 inline Vector load(const void *p) {
    return _mm256_loadu_si256(static_cast<const Vector *>(p));
}

ISOHASH_AVX2 inline Vector low_nibbles(Vector v) {
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
ISOHASH_AVX2 inline Vector high_nibbles(Vector v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

} // namespace avx2
} // namespace isohash
