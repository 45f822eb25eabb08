// The last step of encoding, fused into one pass that finds its input still in the cache: wrap a
// projection onto the circle, compare it with a threshold, pack the bits.
//
// u - round(u) is exact in float32, so is its absolute value, so a bit depends on u alone and not
// on the processor. What may differ between machines is u, the result of a matrix product; values
// near a threshold are therefore reported and settled elsewhere, in exact arithmetic.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "isohash.h"
#include "search/pool.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ISOHASH_AVX2 __attribute__((target("avx2")))
#endif

namespace isohash {
namespace {

using Places = std::vector<int64_t>;

// One row of products; `place` is the place of its first value.
struct Row {
    const float *products, *offsets;
    int64_t m;
    float tolerance;
    int64_t place;

    float value(int64_t j) const { return products[j] + offsets[j]; }
};

// Bits of one row.
using ThresholdRow = void (*)(const Row &row, const float *half_widths, uint8_t *packed,
                              Places &borderline);

// Symbols of one row.
using WrapRow = void (*)(const Row &row, int32_t q, uint8_t *symbols, Places &borderline);

// Columns [first, m) of a row, `first` a multiple of 8.
void threshold_columns(const Row &row, const float *half_widths, int64_t first, uint8_t *packed,
                       Places &borderline) {
    for (int64_t byte = first / 8; byte * 8 < row.m; byte++) {
        unsigned bits = 0;
        for (int64_t j = byte * 8; j < byte * 8 + 8; j++) {
            bits <<= 1;
            if (j >= row.m) continue;
            const float value = row.value(j), away = std::fabs(value - std::nearbyint(value));
            bits |= away < half_widths[j];
            // Not `>`: a value that is not a number is borderline.
            if (!(std::fabs(away - half_widths[j]) > row.tolerance))
                borderline.push_back(row.place + j);
        }
        packed[byte] = static_cast<uint8_t>(bits);
    }
}

void threshold_row(const Row &row, const float *half_widths, uint8_t *packed, Places &borderline) {
    threshold_columns(row, half_widths, 0, packed, borderline);
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

void wrap_columns(const Row &row, int64_t first, int32_t q, uint8_t *symbols, Places &borderline) {
    const float divisor = static_cast<float>(q), inverse = 1 / divisor;
    for (int64_t j = first; j < row.m; j++) {
        const float value = row.value(j);
        const bool fits = std::fabs(value) < largest_wrapped;
        symbols[j] = fits ? static_cast<uint8_t>(wrap(value, divisor, inverse)) : 0;
        if (is_borderline(value, row.tolerance)) borderline.push_back(row.place + j);
    }
}

void wrap_row(const Row &row, int32_t q, uint8_t *symbols, Places &borderline) {
    wrap_columns(row, 0, q, symbols, borderline);
}

#ifdef ISOHASH_AVX2

constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

ISOHASH_AVX2 inline __m256 absolute(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
ISOHASH_AVX2 inline __m256 distance_to_whole(__m256 x) {
    return absolute(_mm256_sub_ps(x, _mm256_round_ps(x, nearest)));
}

// Which of 32 values passed a test (all bits of them set), as four bytes of packed bits: vectors
// count from the lowest bit, packed codes from the highest.
ISOHASH_AVX2 inline uint32_t packed_bits(const __m256 passed[4]) {
    __m256i v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm256_castps_si256(passed[i]);
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    // The low halves of all four lie before their high halves.
    const __m256i high_before_low = _mm256_setr_epi32(4, 0, 5, 1, 6, 2, 7, 3);
    const __m256i reversed =
        _mm256_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, //
                         3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    return static_cast<uint32_t>(_mm256_movemask_epi8(
        _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(bytes, high_before_low), reversed)));
}

void push_places(int mask, int64_t place, Places &borderline) {
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1) borderline.push_back(place + i);
}

ISOHASH_AVX2 inline __m256 eight_values(const Row &row, int64_t j) {
    return _mm256_add_ps(_mm256_loadu_ps(row.products + j), _mm256_loadu_ps(row.offsets + j));
}

ISOHASH_AVX2 void threshold_row_avx2(const Row &row, const float *half_widths, uint8_t *packed,
                                     Places &borderline) {
    const __m256 tolerances = _mm256_set1_ps(row.tolerance);
    int64_t j = 0;
    for (; j + 32 <= row.m; j += 32) {
        __m256 inside[4], near[4];
        for (int i = 0; i < 4; i++) {
            const __m256 away = distance_to_whole(eight_values(row, j + 8 * i));
            const __m256 half_width = _mm256_loadu_ps(half_widths + j + 8 * i);
            const __m256 margin = absolute(_mm256_sub_ps(away, half_width));
            inside[i] = _mm256_cmp_ps(away, half_width, _CMP_LT_OQ);
            near[i] = _mm256_cmp_ps(margin, tolerances, _CMP_NGT_UQ);
        }
        const uint32_t bits = packed_bits(inside);
        std::memcpy(packed + j / 8, &bits, sizeof bits);
        const __m256 any =
            _mm256_or_ps(_mm256_or_ps(near[0], near[1]), _mm256_or_ps(near[2], near[3]));
        if (_mm256_movemask_ps(any))
            for (int i = 0; i < 4; i++)
                push_places(_mm256_movemask_ps(near[i]), row.place + j + 8 * i, borderline);
    }
    threshold_columns(row, half_widths, j, packed, borderline);
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

ISOHASH_AVX2 void wrap_row_avx2(const Row &row, int32_t q, uint8_t *symbols, Places &borderline) {
    const __m256 divisor = _mm256_set1_ps(static_cast<float>(q));
    const __m256 inverse = _mm256_set1_ps(1 / static_cast<float>(q));
    const __m256 tolerances = _mm256_set1_ps(row.tolerance);
    const __m256 largest = _mm256_set1_ps(largest_wrapped);
    int64_t j = 0;
    for (; j + 8 <= row.m; j += 8) {
        const __m256 eight = eight_values(row, j);
        const __m256 fits = _mm256_cmp_ps(absolute(eight), largest, _CMP_LT_OQ);
        const __m256i wrapped =
            _mm256_and_si256(wrap_8(eight, divisor, inverse), _mm256_castps_si256(fits));
        const __m128i words =
            _mm_packus_epi32(_mm256_castsi256_si128(wrapped), _mm256_extracti128_si256(wrapped, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(symbols + j), _mm_packus_epi16(words, words));
        const __m256 near = _mm256_cmp_ps(distance_to_whole(eight), tolerances, _CMP_NGT_UQ);
        const int settle = _mm256_movemask_ps(near) | (~_mm256_movemask_ps(fits) & 0xff);
        if (settle) push_places(settle, row.place + j, borderline);
    }
    wrap_columns(row, j, q, symbols, borderline);
}

#endif

// How many of 2^width - 1 rising thresholds a value reaches; none, if it is not a number.
inline int64_t reached(const float *thresholds, int width, float value) {
    int64_t count = 0;
    for (int64_t step = int64_t{1} << (width - 1); step; step >>= 1)
        if (thresholds[count + step - 1] <= value) count += step;
    return count;
}

// Whether a value is so near to the threshold below or above it that it may lie on its other side.
inline bool is_near(const float *thresholds, int64_t n, int64_t count, float value,
                    float tolerance) {
    const double v = value, near = tolerance;
    return (count > 0 && !(v - static_cast<double>(thresholds[count - 1]) > near)) ||
           (count < n && !(static_cast<double>(thresholds[count]) - v > near)) ||
           !std::isfinite(value);
}

void quantise_row(const Row &row, const uint8_t *widths, const float *thresholds, uint16_t *indices,
                  Places &borderline) {
    for (int64_t j = 0; j < row.m; j++) {
        const int64_t n = (int64_t{1} << widths[j]) - 1;
        const float value = row.value(j);
        const int64_t count = reached(thresholds, widths[j], value);
        indices[j] = static_cast<uint16_t>(count);
        if (is_near(thresholds, n, count, value, row.tolerance))
            borderline.push_back(row.place + j);
        thresholds += n;
    }
}

// ---- what settles doubtful values ----

using Dot = double (*)(const float *a, const float *b, int64_t d);

double dot(const float *a, const float *b, int64_t d) {
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
    return sum;
}

#ifdef ISOHASH_AVX2

ISOHASH_AVX2 inline __m256d four_products(const float *a, const float *b) {
    return _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(a)), _mm256_cvtps_pd(_mm_loadu_ps(b)));
}

ISOHASH_AVX2 double dot_avx2(const float *a, const float *b, int64_t d) {
    __m256d low = _mm256_setzero_pd(), high = low;
    int64_t j = 0;
    for (; j + 8 <= d; j += 8) {
        low = _mm256_add_pd(low, four_products(a + j, b + j));
        high = _mm256_add_pd(high, four_products(a + j + 4, b + j + 4));
    }
    alignas(32) double sums[4];
    _mm256_store_pd(sums, _mm256_add_pd(low, high));
    return sums[0] + sums[1] + sums[2] + sums[3] + dot(a + j, b + j, d - j);
}

#endif

Dot best_dot() {
#ifdef ISOHASH_AVX2
    if (__builtin_cpu_supports("avx2")) return dot_avx2;
#endif
    return dot;
}

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

// Runs encode(row, its number, borderline) for each row, in parallel, and hands the places over.
template <class Encode> int64_t each_row(const isohash_projections &in, Encode encode) {
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(in.threads, in.n));
    std::vector<Places> found(static_cast<size_t>(parts));
    std::atomic<bool> enough{true};
    run_parallel(parts, [&](int64_t part) {
        try {
            for (int64_t i = in.n * part / parts; i < in.n * (part + 1) / parts; i++)
                encode(Row{in.products + i * in.m, in.offsets, in.m, in.tolerances[i], i * in.m}, i,
                       found[static_cast<size_t>(part)]);
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
    return isohash::each_row(*in,
                             [&](const isohash::Row &row, int64_t i, isohash::Places &borderline) {
                                 encode(row, half_widths, packed + i * row_bytes, borderline);
                             });
}

int64_t isohash_wrap_symbols(const isohash_projections *in, int32_t q, uint8_t *symbols) {
    const isohash::WrapRow encode = isohash::best_wrap_row(in->portable);
    return isohash::each_row(*in,
                             [&](const isohash::Row &row, int64_t i, isohash::Places &borderline) {
                                 encode(row, q, symbols + i * in->m, borderline);
                             });
}

int64_t isohash_quantise(const isohash_projections *in, const uint8_t *widths,
                         const float *thresholds, uint16_t *indices) {
    return isohash::each_row(
        *in, [&](const isohash::Row &row, int64_t i, isohash::Places &borderline) {
            isohash::quantise_row(row, widths, thresholds, indices + i * in->m, borderline);
        });
}

void isohash_dots(const float *a, const float *b, int64_t d, const int64_t *rows,
                  const int64_t *columns, int64_t n, double *out) {
    const isohash::Dot dot = isohash::best_dot();
    for (int64_t i = 0; i < n; i++) out[i] = dot(a + rows[i] * d, b + columns[i] * d, d);
}
