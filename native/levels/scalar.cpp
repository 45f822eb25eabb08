// The portable level: plain loops, right at a glance. The other levels are checked against it.

#include <cstdlib>
#include <cstring>

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define ISOHASH_POPCNT __attribute__((target("popcnt")))
#else
#define ISOHASH_POPCNT
#endif

namespace isohash {
namespace {

inline int popcount(uint64_t x) {
#if defined(__GNUC__)
    return __builtin_popcountll(x);
#else
    x -= (x >> 1) & 0x5555555555555555u; // sums of 2, then 4, then 8 bits
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<int>((x * 0x0101010101010101u) >> 56);
#endif
}

ISOHASH_POPCNT void hamming(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                            int64_t m, int32_t *out) {
    const int64_t words = shape.words();
    const uint64_t *q = reinterpret_cast<const uint64_t *>(query);
    const uint64_t *code = reinterpret_cast<const uint64_t *>(codes);
    for (int64_t i = 0; i < m; i++, code += words) {
        int32_t sum = 0;
        for (int64_t j = 0; j < words; j++) sum += popcount(word_at(q + j) ^ word_at(code + j));
        out[i] = sum;
    }
}

inline int32_t lee_step(int32_t a, int32_t b, int32_t q) {
    const int32_t d = std::abs(a - b);
    return d < q - d ? d : q - d;
}

inline int32_t squared_lee_step(int32_t a, int32_t b, int32_t q) {
    const int32_t step = lee_step(a, b, q);
    return step * step;
}

inline int32_t different_step(int32_t a, int32_t b, int32_t) { return a != b; }

inline int32_t absolute_step(int32_t a, int32_t b, int32_t) { return std::abs(a - b); }

inline int32_t squared_step(int32_t a, int32_t b, int32_t) { return (a - b) * (a - b); }

using Step = int32_t (*)(int32_t, int32_t, int32_t);

// Symbol j of a row of symbols of `bits` bits; of two in a byte the first is in the high half.
template <int bits> inline int32_t symbol_at(const uint8_t *row, int64_t j) {
    if (bits == 4) return j % 2 ? row[j / 2] & 15 : row[j / 2] >> 4;
    if (bits == 8) return row[j];
    uint16_t symbol;
    std::memcpy(&symbol, row + 2 * j, sizeof symbol);
    return symbol;
}

template <Step step, int bits>
void symbol_distances(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
                      int32_t *out) {
    const int64_t length = shape.row_bytes * 8 / bits;
    for (int64_t i = 0; i < m; i++, codes += shape.row_bytes) {
        int32_t sum = 0;
        for (int64_t j = 0; j < length; j++)
            sum += step(symbol_at<bits>(query, j), symbol_at<bits>(codes, j), shape.q);
        out[i] = sum;
    }
}

template <Step step>
void symbols(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
             int32_t *out) {
    if (shape.symbol_bits == 4)
        symbol_distances<step, 4>(shape, query, codes, m, out);
    else if (shape.symbol_bits == 8)
        symbol_distances<step, 8>(shape, query, codes, m, out);
    else
        symbol_distances<step, 16>(shape, query, codes, m, out);
}

int64_t find_below(const int32_t *distances, int64_t start, int64_t m, int32_t limit) {
    constexpr int64_t stride = 16; // few branches while nothing is found, which is the rule
    int64_t i = start;
    for (; i + stride <= m; i += stride) {
        int32_t any = 0;
        for (int64_t j = 0; j < stride; j++) any |= distances[i + j] < limit;
        if (any) break;
    }
    while (i < m && distances[i] >= limit) i++;
    return i;
}

int32_t least(const int32_t *distances, int64_t m) { return least_of(distances, m); }

const Level level = {{hamming, symbols<lee_step>, symbols<squared_lee_step>,
                      symbols<different_step>, symbols<absolute_step>, symbols<squared_step>},
                     {},
                     find_below,
                     least};

} // namespace

const Level *scalar_level() {
#if defined(__x86_64__) && defined(__GNUC__)
    if (!__builtin_cpu_supports("popcnt")) return nullptr;
#endif
    return &level;
}

} // namespace isohash
