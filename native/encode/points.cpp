// Fitting codes to data: the nearest points of each block of axes, and levels of single axes.
//
// A score adds its products in the order of the axes, each rounded by itself, whatever the width of
// the vectors that hold it: so the nearest point is the same on every processor.

#include <algorithm>
#include <limits>
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

constexpr float infinite = std::numeric_limits<float>::infinity();

// The points of one block: coordinate s of point j is points[s * m + j].
struct Block {
    const float *points, *offsets;
    int64_t span, m;
};

// What is found for one row: the place of the best point, and its lead over the second.
struct Found {
    uint16_t *place;
    float *lead;
    Found of(int64_t i, int64_t groups) const { return {place + i * groups, lead + i * groups}; }
};

// The first of the points with the largest <x, point> - offset.
void nearest(const Block &in, const float *x, const Found &out) {
    int64_t best = 0;
    float most = -infinite, second = -infinite;
    for (int64_t j = 0; j < in.m; j++) {
        float score = -in.offsets[j];
        for (int64_t s = 0; s < in.span; s++) score += x[s] * in.points[s * in.m + j];
        second = std::max(second, std::min(score, most));
        if (score > most) most = score, best = j;
    }
    *out.place = static_cast<uint16_t>(best);
    *out.lead = most - second;
}

// The same of several rows, which are `stride` floats apart.
using Rows = void (*)(const Block &in, const float *x, int64_t n, int64_t stride, int64_t groups,
                      const Found &out);

void nearest_rows(const Block &in, const float *x, int64_t n, int64_t stride, int64_t groups,
                  const Found &out) {
    for (int64_t i = 0; i < n; i++) nearest(in, x + i * stride, out.of(i, groups));
}

#ifdef ISOHASH_AVX2

constexpr int together = 4; // rows: a comparison of one waits for none of the others

// The best and the second scores of the points j, j + 8, ... of each j below 8.
struct Eight {
    __m256 most, second;
    __m256i place;
};

ISOHASH_AVX2 inline void take(Eight &so_far, __m256 scores, __m256i at) {
    const __m256 more = _mm256_cmp_ps(scores, so_far.most, _CMP_GT_OQ);
    so_far.second = _mm256_max_ps(so_far.second, _mm256_min_ps(scores, so_far.most));
    so_far.most = _mm256_blendv_ps(so_far.most, scores, more);
    so_far.place = _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(so_far.place), _mm256_castsi256_ps(at), more));
}

// Of equal scores the one of the smallest place is the best.
ISOHASH_AVX2 inline void best_of(const Eight &all, const Found &out) {
    alignas(32) float most[8], second[8];
    alignas(32) int32_t places[8];
    _mm256_store_ps(most, all.most);
    _mm256_store_ps(second, all.second);
    _mm256_store_si256(reinterpret_cast<__m256i *>(places), all.place);
    int best = 0;
    for (int i = 1; i < 8; i++)
        if (most[i] > most[best] || (most[i] == most[best] && places[i] < places[best])) best = i;
    float next = second[best];
    for (int i = 0; i < 8; i++)
        if (i != best) next = std::max(next, most[i]);
    *out.place = static_cast<uint16_t>(places[best]);
    *out.lead = most[best] - next;
}

ISOHASH_AVX2 void nearest_four(const Block &in, const float *x, int64_t stride, int64_t groups,
                               const Found &out) {
    const __m256 lowest = _mm256_set1_ps(-infinite);
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    Eight found[together];
    for (Eight &one : found) one = {lowest, lowest, at};
    for (int64_t j = 0; j < in.m; j += 8, at = _mm256_add_epi32(at, _mm256_set1_epi32(8))) {
        __m256 scores[together];
        const __m256 offset = _mm256_loadu_ps(in.offsets + j);
        for (__m256 &score : scores) score = _mm256_sub_ps(_mm256_setzero_ps(), offset);
        for (int64_t s = 0; s < in.span; s++) {
            const __m256 points = _mm256_loadu_ps(in.points + s * in.m + j);
            for (int i = 0; i < together; i++)
                scores[i] = _mm256_add_ps(scores[i],
                                          _mm256_mul_ps(_mm256_set1_ps(x[i * stride + s]), points));
        }
        for (int i = 0; i < together; i++) take(found[i], scores[i], at);
    }
    for (int i = 0; i < together; i++) best_of(found[i], out.of(i, groups));
}

ISOHASH_AVX2 void nearest_rows_avx2(const Block &in, const float *x, int64_t n, int64_t stride,
                                    int64_t groups, const Found &out) {
    int64_t i = 0;
    for (; i + together <= n; i += together)
        nearest_four(in, x + i * stride, stride, groups, out.of(i, groups));
    nearest_rows(in, x + i * stride, n - i, stride, groups, out.of(i, groups));
}

#endif

Rows best_rows() {
#ifdef ISOHASH_AVX2
    if (__builtin_cpu_supports("avx2")) return nearest_rows_avx2;
#endif
    return nearest_rows;
}

// One axis: ascending values with their sums up to each. False where no cell has changed.
bool move_levels(const double *x, const double *sums, int64_t n, int64_t k, double *levels,
                 std::vector<int64_t> &edges) {
    bool changed = false;
    for (int64_t j = 1; j < k; j++) {
        const double middle = (levels[j] + levels[j - 1]) / 2.0;
        const int64_t edge = std::lower_bound(x, x + n, middle) - x;
        changed |= edge != edges[static_cast<size_t>(j)];
        edges[static_cast<size_t>(j)] = edge;
    }
    for (int64_t j = 0; j < k; j++) {
        const int64_t first = edges[static_cast<size_t>(j)],
                      end = edges[static_cast<size_t>(j) + 1];
        if (end > first) levels[j] = (sums[end] - sums[first]) / static_cast<double>(end - first);
    }
    return changed;
}

} // namespace
} // namespace isohash

int isohash_nearest_points(const float *rows, int64_t n, const uint8_t *spans, int64_t groups,
                           const float *points, const float *offsets, int64_t m, int32_t threads,
                           uint16_t *out, float *leads) {
    int64_t stride = 0;
    for (int64_t g = 0; g < groups; g++) stride += spans[g];
    const isohash::Rows nearest = isohash::best_rows();
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(threads, n));
    isohash::run_parallel(parts, [&](int64_t part) {
        const int64_t first = n * part / parts, end = n * (part + 1) / parts;
        const float *of_block = points, *x = rows + first * stride;
        for (int64_t g = 0; g < groups; g++) {
            const isohash::Block block{of_block, offsets + g * m, spans[g], m};
            const isohash::Found found{out + g, leads + g};
            nearest(block, x, end - first, stride, groups, found.of(first, groups));
            of_block += spans[g] * m;
            x += spans[g];
        }
    });
    return 0;
}

int isohash_lloyd(const double *x, const double *sums, int64_t columns, int64_t n, int64_t k,
                  int64_t rounds, double *levels) {
    try {
        std::vector<int64_t> edges(static_cast<size_t>(k) + 1);
        for (int64_t c = 0; c < columns; c++) {
            std::fill(edges.begin(), edges.end(), -1);
            edges.front() = 0, edges.back() = n;
            for (int64_t round = 0; round < rounds; round++)
                if (!isohash::move_levels(x + c * n, sums + c * (n + 1), n, k, levels + c * k,
                                          edges))
                    break;
        }
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}
