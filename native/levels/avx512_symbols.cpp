// Symbols of 4, 8 or 16 bits on the AVX-512 level: eight codes at a time, so that one tree of
// additions replaces eight sums across a vector.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>

#include "levels/avx512.hpp"

namespace isohash {
namespace {

constexpr int64_t prefetch_bytes = 2048;

// 32-bit sums of what 64 bytes of symbols cost; the third argument holds q in every place.
using Sums = Vector (*)(Vector, Vector, Vector);

// ---- symbols of a byte ----

ISOHASH_AVX512 inline Vector apart(Vector a, Vector b) {
    return _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a));
}

// min(d, q - d) with d = |a - b|; for q = 256 the difference wraps to 0 at d = 0, as it should.
ISOHASH_AVX512 inline Vector lee_steps(Vector a, Vector b, Vector q) {
    const Vector d = apart(a, b);
    return _mm512_min_epu8(d, _mm512_sub_epi8(q, d));
}

ISOHASH_AVX512 inline Vector lee(Vector a, Vector b, Vector q) {
    return _mm512_sad_epu8(lee_steps(a, b, q), _mm512_setzero_si512());
}

// Steps reach 255, so they are widened before they are squared.
ISOHASH_AVX512 inline Vector squares(Vector steps) {
    const Vector zero = _mm512_setzero_si512();
    const Vector low = _mm512_unpacklo_epi8(steps, zero), high = _mm512_unpackhi_epi8(steps, zero);
    return _mm512_add_epi32(_mm512_madd_epi16(low, low), _mm512_madd_epi16(high, high));
}

ISOHASH_AVX512 inline Vector squared_lee(Vector a, Vector b, Vector q) {
    return squares(lee_steps(a, b, q));
}

ISOHASH_AVX512 inline Vector absolute(Vector a, Vector b, Vector) { return _mm512_sad_epu8(a, b); }

ISOHASH_AVX512 inline Vector squared(Vector a, Vector b, Vector) { return squares(apart(a, b)); }

ISOHASH_AVX512 inline Vector different(Vector a, Vector b, Vector) {
    const Vector one = _mm512_set1_epi8(1), x = _mm512_xor_si512(a, b);
    return _mm512_sad_epu8(_mm512_min_epu8(x, one), _mm512_setzero_si512());
}

// ---- two symbols to the byte ----

template <Sums sums> ISOHASH_AVX512 inline Vector of_both_halves(Vector a, Vector b, Vector q) {
    const Vector low = _mm512_set1_epi8(15);
    return _mm512_add_epi32(sums(_mm512_and_si512(a, low), _mm512_and_si512(b, low), q),
                            sums(_mm512_and_si512(_mm512_srli_epi16(a, 4), low),
                                 _mm512_and_si512(_mm512_srli_epi16(b, 4), low), q));
}

// ---- symbols of two bytes, up to 32767 ----

ISOHASH_AVX512 inline Vector wide_apart(Vector a, Vector b) {
    return _mm512_abs_epi16(_mm512_sub_epi16(a, b));
}

ISOHASH_AVX512 inline Vector wide_lee_steps(Vector a, Vector b, Vector q) {
    const Vector d = wide_apart(a, b);
    return _mm512_min_epi16(d, _mm512_sub_epi16(q, d));
}

ISOHASH_AVX512 inline Vector add_pairs(Vector steps) {
    return _mm512_madd_epi16(steps, _mm512_set1_epi16(1));
}

ISOHASH_AVX512 inline Vector wide_lee(Vector a, Vector b, Vector q) {
    return add_pairs(wide_lee_steps(a, b, q));
}

ISOHASH_AVX512 inline Vector wide_squared_lee(Vector a, Vector b, Vector q) {
    const Vector steps = wide_lee_steps(a, b, q);
    return _mm512_madd_epi16(steps, steps);
}

ISOHASH_AVX512 inline Vector wide_absolute(Vector a, Vector b, Vector) {
    return add_pairs(wide_apart(a, b));
}

ISOHASH_AVX512 inline Vector wide_squared(Vector a, Vector b, Vector) {
    const Vector d = _mm512_sub_epi16(a, b);
    return _mm512_madd_epi16(d, d);
}

ISOHASH_AVX512 inline Vector wide_different(Vector a, Vector b, Vector) {
    return add_pairs(_mm512_min_epu16(_mm512_xor_si512(a, b), _mm512_set1_epi16(1)));
}

// ---- rows ----

// Distances to eight codes, or to fewer: the last stands in for those that are missing.
template <Sums sums>
ISOHASH_AVX512 inline __m256i eight_codes(const uint8_t *query, const uint8_t *const codes[8],
                                          int64_t width, Vector q) {
    const int64_t whole = width / vector_bytes * vector_bytes;
    Vector all[8];
    for (Vector &sum : all) sum = _mm512_setzero_si512();
    for (int64_t j = 0; j < whole; j += vector_bytes) {
        const Vector symbols = load(query + j);
#pragma GCC unroll 8
        for (int r = 0; r < 8; r++) {
            _mm_prefetch(reinterpret_cast<const char *>(codes[r] + j) + prefetch_bytes,
                         _MM_HINT_T0);
            all[r] = _mm512_add_epi32(all[r], sums(symbols, load(codes[r] + j), q));
        }
    }
    if (whole < width) { // equal padding adds nothing under any metric
        const Vector symbols = load_first(query + whole, width - whole);
#pragma GCC unroll 8
        for (int r = 0; r < 8; r++) {
            const Vector code = load_first(codes[r] + whole, width - whole);
            all[r] = _mm512_add_epi32(all[r], sums(symbols, code, q));
        }
    }
    return eight_totals(all);
}

template <Sums sums>
ISOHASH_AVX512 void distances(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                              int64_t m, int32_t *out) {
    const Vector q = shape.symbol_bits == 16 ? _mm512_set1_epi16(static_cast<short>(shape.q))
                                             : _mm512_set1_epi8(static_cast<char>(shape.q));
    for (int64_t i = 0; i < m; i += 8) {
        const uint8_t *rows[8];
        for (int64_t r = 0; r < 8; r++) rows[r] = codes + std::min(i + r, m - 1) * shape.row_bytes;
        const __m256i eight = eight_codes<sums>(query, rows, shape.row_bytes, q);
        if (i + 8 <= m) {
            store_8(out + i, eight);
        } else {
            alignas(32) int32_t last[8];
            store_8(last, eight);
            std::copy(last, last + m - i, out + i);
        }
    }
}

template <Sums of_bytes, Sums of_words>
ISOHASH_AVX512 void symbols(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                            int64_t m, int32_t *out) {
    if (shape.symbol_bits == 4)
        distances<of_both_halves<of_bytes>>(shape, query, codes, m, out);
    else if (shape.symbol_bits == 8)
        distances<of_bytes>(shape, query, codes, m, out);
    else
        distances<of_words>(shape, query, codes, m, out);
}

} // namespace

DirectKernel avx512_symbols(isohash_metric metric) {
    switch (metric) {
    case ISOHASH_LEE: return symbols<lee, wide_lee>;
    case ISOHASH_SQUARED_LEE: return symbols<squared_lee, wide_squared_lee>;
    case ISOHASH_DIFFERENT: return symbols<different, wide_different>;
    case ISOHASH_ABSOLUTE: return symbols<absolute, wide_absolute>;
    default: return symbols<squared, wide_squared>;
    }
}

} // namespace isohash

#endif
