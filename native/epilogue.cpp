// The last step of encoding, fused into one pass that finds its input still in the cache: wrap a
// projection onto the circle, compare it with a threshold, pack the bits.
//
// u - round(u) is exact in float32, so is its absolute value, so a bit depends on u alone and not
// on the processor. What may differ between machines is u, the result of a matrix product; values
// near a threshold are therefore reported and settled elsewhere, in exact arithmetic.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "isohash.h"
#include "pool.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ISOHASH_AVX2 __attribute__((target("avx2")))
#endif

namespace isohash {
namespace {

using Places = std::vector<int64_t>;

// Bits of one row. `place` is the place of its first value.
using ThresholdRow = void (*)(const float *values, const float *half_widths, int64_t m,
                              float tolerance, uint8_t *packed, int64_t place, Places &borderline);

// Symbols of one row.
using WrapRow = void (*)(const float *values, int64_t m, int32_t q, float tolerance,
                         uint8_t *symbols, int64_t place, Places &borderline);

// Columns [first, m) of a row, `first` a multiple of 8.
void threshold_columns(const float *values, const float *half_widths, int64_t first, int64_t m,
                       float tolerance, uint8_t *packed, int64_t place, Places &borderline) {
    for (int64_t byte = first / 8; byte * 8 < m; byte++) {
        unsigned bits = 0;
        for (int64_t j = byte * 8; j < byte * 8 + 8; j++) {
            bits <<= 1;
            if (j >= m) continue;
            const float away = std::fabs(values[j] - std::nearbyint(values[j]));
            bits |= away < half_widths[j];
            // Not `>`: a value that is not a number is borderline.
            if (!(std::fabs(away - half_widths[j]) > tolerance)) borderline.push_back(place + j);
        }
        packed[byte] = static_cast<uint8_t>(bits);
    }
}

void threshold_row(const float *values, const float *half_widths, int64_t m, float tolerance,
                   uint8_t *packed, int64_t place, Places &borderline) {
    threshold_columns(values, half_widths, 0, m, tolerance, packed, place, borderline);
}

// From this size on, a float32 has no place for a fraction.
constexpr float largest_wrapped = 8388608.0f; // 2^23

// floor(value) mod q, exactly: a quotient that was rounded up or down is put right.
inline int32_t wrap(float value, float q, float inverse) {
    const float whole = std::floor(value);
    float rest = whole - q * std::floor(whole * inverse);
    if (rest < 0) rest += q;
    if (rest >= q) rest -= q;
    return static_cast<int32_t>(rest);
}

inline bool is_borderline(float value, float tolerance) {
    return !(std::fabs(value - std::nearbyint(value)) > tolerance) ||
           !(std::fabs(value) < largest_wrapped);
}

void wrap_columns(const float *values, int64_t first, int64_t m, int32_t q, float tolerance,
                  uint8_t *symbols, int64_t place, Places &borderline) {
    const float divisor = static_cast<float>(q), inverse = 1 / divisor;
    for (int64_t j = first; j < m; j++) {
        const bool fits = std::fabs(values[j]) < largest_wrapped;
        symbols[j] = fits ? static_cast<uint8_t>(wrap(values[j], divisor, inverse)) : 0;
        if (is_borderline(values[j], tolerance)) borderline.push_back(place + j);
    }
}

void wrap_row(const float *values, int64_t m, int32_t q, float tolerance, uint8_t *symbols,
              int64_t place, Places &borderline) {
    wrap_columns(values, 0, m, q, tolerance, symbols, place, borderline);
}

#ifdef ISOHASH_AVX2

constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

ISOHASH_AVX2 inline __m256 absolute(__m256 x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
ISOHASH_AVX2 inline __m256 distance_to_whole(__m256 x) {
    return absolute(_mm256_sub_ps(x, _mm256_round_ps(x, nearest)));
}

// The eight bits of a byte in reverse: vectors count from the lowest bit, packed codes from the
// highest.
inline uint8_t reversed(int bits) {
    return static_cast<uint8_t>(((static_cast<uint64_t>(bits) * 0x0202020202u) &
                                 UINT64_C(0x010884422010)) % 1023);
}

void push_places(int mask, int64_t place, Places &borderline) {
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1) borderline.push_back(place + i);
}

ISOHASH_AVX2 void threshold_row_avx2(const float *values, const float *half_widths, int64_t m,
                                     float tolerance, uint8_t *packed, int64_t place,
                                     Places &borderline) {
    const __m256 tolerances = _mm256_set1_ps(tolerance);
    int64_t j = 0;
    for (; j + 8 <= m; j += 8) {
        const __m256 away = distance_to_whole(_mm256_loadu_ps(values + j));
        const __m256 half_width = _mm256_loadu_ps(half_widths + j);
        const __m256 margin = absolute(_mm256_sub_ps(away, half_width));
        packed[j / 8] = reversed(_mm256_movemask_ps(_mm256_cmp_ps(away, half_width, _CMP_LT_OQ)));
        const int near = _mm256_movemask_ps(_mm256_cmp_ps(margin, tolerances, _CMP_NGT_UQ));
        if (near) push_places(near, place + j, borderline);
    }
    threshold_columns(values, half_widths, j, m, tolerance, packed, place, borderline);
}

ISOHASH_AVX2 inline __m256i wrap_8(__m256 values, __m256 q, __m256 inverse) {
    const __m256 whole = _mm256_floor_ps(values);
    const __m256 turns = _mm256_floor_ps(_mm256_mul_ps(whole, inverse));
    __m256 rest = _mm256_sub_ps(whole, _mm256_mul_ps(q, turns));
    const __m256 low = _mm256_cmp_ps(rest, _mm256_setzero_ps(), _CMP_LT_OQ);
    rest = _mm256_add_ps(rest, _mm256_and_ps(low, q));
    const __m256 high = _mm256_cmp_ps(rest, q, _CMP_GE_OQ);
    return _mm256_cvttps_epi32(_mm256_sub_ps(rest, _mm256_and_ps(high, q)));
}

ISOHASH_AVX2 void wrap_row_avx2(const float *values, int64_t m, int32_t q, float tolerance,
                                uint8_t *symbols, int64_t place, Places &borderline) {
    const __m256 divisor = _mm256_set1_ps(static_cast<float>(q));
    const __m256 inverse = _mm256_set1_ps(1 / static_cast<float>(q));
    const __m256 tolerances = _mm256_set1_ps(tolerance);
    const __m256 largest = _mm256_set1_ps(largest_wrapped);
    int64_t j = 0;
    for (; j + 8 <= m; j += 8) {
        const __m256 eight = _mm256_loadu_ps(values + j);
        const __m256 fits = _mm256_cmp_ps(absolute(eight), largest, _CMP_LT_OQ);
        const __m256i wrapped =
            _mm256_and_si256(wrap_8(eight, divisor, inverse), _mm256_castps_si256(fits));
        const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(wrapped),
                                               _mm256_extracti128_si256(wrapped, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(symbols + j), _mm_packus_epi16(words, words));
        const __m256 near = _mm256_cmp_ps(distance_to_whole(eight), tolerances, _CMP_NGT_UQ);
        const int settle = _mm256_movemask_ps(near) | (~_mm256_movemask_ps(fits) & 0xff);
        if (settle) push_places(settle, place + j, borderline);
    }
    wrap_columns(values, j, m, q, tolerance, symbols, place, borderline);
}

#endif

ThresholdRow best_threshold_row(bool portable) {
#ifdef ISOHASH_AVX2
    if (!portable && __builtin_cpu_supports("avx2")) return threshold_row_avx2;
#endif
    (void)portable;
    return threshold_row;
}

WrapRow best_wrap_row(bool portable) {
#ifdef ISOHASH_AVX2
    if (!portable && __builtin_cpu_supports("avx2")) return wrap_row_avx2;
#endif
    (void)portable;
    return wrap_row;
}

// Runs encode(row, borderline) for each row, in parallel, and hands the places over.
template <class Encode> int64_t each_row(const isohash_projections &in, Encode encode) {
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(in.threads, in.n));
    std::vector<Places> found(static_cast<size_t>(parts));
    std::atomic<bool> enough{true};
    run_parallel(parts, [&](int64_t part) {
        try {
            for (int64_t row = in.n * part / parts; row < in.n * (part + 1) / parts; row++)
                encode(row, found[static_cast<size_t>(part)]);
        } catch (const std::bad_alloc &) {
            enough = false;
        }
    });
    if (!enough) return -1;
    int64_t total = 0;
    for (const Places &places : found)
        for (const int64_t place : places) {
            if (total < in.capacity) in.borderline[total] = place;
            total++;
        }
    return total;
}

} // namespace
} // namespace isohash

int64_t isohash_threshold_turns(const isohash_projections *in, const float *half_widths,
                                uint8_t *packed) {
    const isohash::ThresholdRow encode = isohash::best_threshold_row(in->portable);
    const int64_t row_bytes = (in->m + 7) / 8;
    return isohash::each_row(*in, [&](int64_t row, isohash::Places &borderline) {
        encode(in->values + row * in->m, half_widths, in->m, in->tolerances[row],
               packed + row * row_bytes, row * in->m, borderline);
    });
}

int64_t isohash_wrap_symbols(const isohash_projections *in, int32_t q, uint8_t *symbols) {
    const isohash::WrapRow encode = isohash::best_wrap_row(in->portable);
    return isohash::each_row(*in, [&](int64_t row, isohash::Places &borderline) {
        encode(in->values + row * in->m, in->m, q, in->tolerances[row], symbols + row * in->m,
               row * in->m, borderline);
    });
}
