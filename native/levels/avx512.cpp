// The AVX-512 level: VPOPCNTDQ counts the bits of eight words at once.
//
// Short codes go eight at a time, so that one tree of additions replaces eight sums across a
// vector; long codes one at a time, as the memory delivers them. In batches a tile of 4 queries by
// 4 codes stays in registers, which loads every vector once for four uses.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>

#include "levels/avx512.hpp"

namespace isohash {
namespace {

constexpr int64_t vector_words = 8;
constexpr int64_t prefetch_bytes = 2048;
// Words from which one code after another is as fast as eight that share their last sums.
constexpr int64_t long_code_words = 32;

ISOHASH_AVX512 inline __mmask8 first_words(int64_t n) {
    return static_cast<__mmask8>((1u << n) - 1);
}

// Differing bits of eight words, as eight counts.
ISOHASH_AVX512 inline Vector differing(Vector a, Vector b) {
    return _mm512_popcnt_epi64(_mm512_xor_si512(a, b));
}

ISOHASH_AVX512 inline Vector add_64_bits(Vector a, Vector b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// The totals of eight vectors of eight 64-bit sums each, in order.
ISOHASH_AVX512 inline __m256i eight_counts(const Vector v[8]) {
    const Vector left = add_quarters(add_64_bits(v[0], v[1]), add_64_bits(v[2], v[3]));
    const Vector right = add_quarters(add_64_bits(v[4], v[5]), add_64_bits(v[6], v[7]));
    return _mm512_cvtepi64_epi32(add_quarters(left, right));
}

ISOHASH_AVX512 inline int64_t total(Vector v) {
    alignas(64) int64_t words[8];
    _mm512_store_si512(words, v);
    return words[0] + words[1] + words[2] + words[3] + words[4] + words[5] + words[6] + words[7];
}

ISOHASH_AVX512 inline int32_t one_code(const uint64_t *query, const uint64_t *code, int64_t words) {
    int64_t sum = 0;
    for (int64_t j = 0; j < words; j++)
        sum += __builtin_popcountll(word_at(query + j) ^ word_at(code + j));
    return static_cast<int32_t>(sum);
}

ISOHASH_AVX512 void hamming_eight_codes(const uint64_t *query, const uint64_t *codes, int64_t m,
                                        int64_t words, int32_t *out) {
    const int64_t whole = words / vector_words * vector_words;
    const __mmask8 rest = first_words(words - whole);
    int64_t i = 0;
    for (; i + 8 <= m; i += 8) {
        const uint64_t *code = codes + i * words;
        Vector sums[8];
        for (Vector &sum : sums) sum = _mm512_setzero_si512();
        for (int64_t j = 0; j < whole; j += vector_words) {
            const Vector q = load(query + j);
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sums[r] = _mm512_add_epi64(sums[r], differing(q, load(code + r * words + j)));
        }
        if (rest) {
            const Vector q = _mm512_maskz_loadu_epi64(rest, query + whole);
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++) {
                const Vector x = _mm512_maskz_loadu_epi64(rest, code + r * words + whole);
                sums[r] = _mm512_add_epi64(sums[r], differing(q, x));
            }
        }
        store_8(out + i, eight_counts(sums));
    }
    for (; i < m; i++) out[i] = one_code(query, codes + i * words, words);
}

// Codes of one word: a vector holds eight of them.
ISOHASH_AVX512 void hamming_64_bits(const uint64_t *query, const uint64_t *codes, int64_t m,
                                    int32_t *out) {
    const Vector q = _mm512_set1_epi64(static_cast<int64_t>(word_at(query)));
    int64_t i = 0;
    for (; i + 8 <= m; i += 8)
        store_8(out + i, _mm512_cvtepi64_epi32(differing(q, load(codes + i))));
    for (; i < m; i++) out[i] = one_code(query, codes + i, 1);
}

// Codes of two words: a vector holds four of them.
ISOHASH_AVX512 void hamming_128_bits(const uint64_t *query, const uint64_t *codes, int64_t m,
                                     int32_t *out) {
    const Vector q = _mm512_set_epi64(
        static_cast<int64_t>(word_at(query + 1)), static_cast<int64_t>(word_at(query)),
        static_cast<int64_t>(word_at(query + 1)), static_cast<int64_t>(word_at(query)),
        static_cast<int64_t>(word_at(query + 1)), static_cast<int64_t>(word_at(query)),
        static_cast<int64_t>(word_at(query + 1)), static_cast<int64_t>(word_at(query)));
    int64_t i = 0;
    for (; i + 8 <= m; i += 8) {
        const Vector low = differing(q, load(codes + 2 * i));
        const Vector high = differing(q, load(codes + 2 * i + vector_words));
        // Words 0, 4, 1, 5, 2, 6, 3, 7 of the eight codes' sums, put in order as they shrink.
        const Vector sums = add_64_bits(low, high);
        const Vector order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
        store_8(out + i, _mm512_cvtepi64_epi32(_mm512_permutexvar_epi64(order, sums)));
    }
    for (; i < m; i++) out[i] = one_code(query, codes + 2 * i, 2);
}

ISOHASH_AVX512 void hamming_long_codes(const uint64_t *query, const uint64_t *codes, int64_t m,
                                       int64_t words, int32_t *out) {
    constexpr int64_t stretch = 4 * vector_words;
    for (int64_t i = 0; i < m; i++) {
        const uint64_t *code = codes + i * words;
        Vector sums[4];
        for (Vector &sum : sums) sum = _mm512_setzero_si512();
        int64_t j = 0;
        for (; j + stretch <= words; j += stretch) {
            const char *ahead = reinterpret_cast<const char *>(code + j) + prefetch_bytes;
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                _mm_prefetch(ahead + 64 * r, _MM_HINT_T0);
                const int64_t place = j + r * vector_words;
                sums[r] =
                    _mm512_add_epi64(sums[r], differing(load(query + place), load(code + place)));
            }
        }
        const Vector all = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]),
                                            _mm512_add_epi64(sums[2], sums[3]));
        out[i] = static_cast<int32_t>(total(all)) + one_code(query + j, code + j, words - j);
    }
}

ISOHASH_AVX512 void hamming(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                            int64_t m, int32_t *out) {
    const int64_t words = shape.words();
    const uint64_t *q = reinterpret_cast<const uint64_t *>(query);
    const uint64_t *rows = reinterpret_cast<const uint64_t *>(codes);
    if (words == 1)
        hamming_64_bits(q, rows, m, out);
    else if (words == 2)
        hamming_128_bits(q, rows, m, out);
    else if (words < long_code_words || words % vector_words)
        hamming_eight_codes(q, rows, m, words, out);
    else
        hamming_long_codes(q, rows, m, words, out);
}

// ---- batches ----

constexpr int64_t tile = 4; // queries and codes per tile
constexpr int64_t block_bytes = 24 << 10;

// Distances of 4 queries to 4 codes, `stride` words apart each: row r is query r.
ISOHASH_AVX512 inline void hamming_tile(const uint64_t *queries, const uint64_t *codes,
                                        int64_t words, int32_t *out, int64_t ld) {
    Vector sums[tile * tile];
#pragma GCC unroll 16
    for (int i = 0; i < tile * tile; i++) sums[i] = _mm512_setzero_si512();
    for (int64_t j = 0; j < words; j += vector_words) {
        const __mmask8 mask = first_words(std::min(vector_words, words - j));
        Vector x[tile];
#pragma GCC unroll 4
        for (int c = 0; c < tile; c++) x[c] = _mm512_maskz_loadu_epi64(mask, codes + c * words + j);
#pragma GCC unroll 4
        for (int r = 0; r < tile; r++) {
            const Vector q = _mm512_maskz_loadu_epi64(mask, queries + r * words + j);
#pragma GCC unroll 4
            for (int c = 0; c < tile; c++)
                sums[r * tile + c] = _mm512_add_epi64(sums[r * tile + c], differing(q, x[c]));
        }
    }
#pragma GCC unroll 2
    for (int r = 0; r < tile; r += 2) {
        alignas(32) int32_t two_rows[2 * tile];
        store_8(two_rows, eight_counts(sums + r * tile));
        std::copy(two_rows, two_rows + tile, out + r * ld);
        std::copy(two_rows + tile, two_rows + 2 * tile, out + (r + 1) * ld);
    }
}

class Tiles : public BatchKernel {
  public:
    bool serves(const Shape &shape, int64_t n_queries) const override {
        return shape.metric == ISOHASH_HAMMING && n_queries >= tile;
    }
    int64_t block_rows(const Shape &shape) const override {
        return std::clamp<int64_t>(block_bytes / shape.row_bytes / 16 * 16, 16, 2048);
    }
    int64_t group() const override { return tile; }
    int64_t prepared_queries_bytes(const Shape &, int64_t) const override { return 0; }
    int64_t prepared_block_bytes(const Shape &, int64_t) const override { return 0; }

    ISOHASH_AVX512 void run(const Shape &shape, const uint8_t *queries, int64_t first, int64_t n,
                            const uint8_t *block, int64_t m, int32_t *out, int64_t ld,
                            const Interest *, uint64_t *) const override {
        const int64_t words = shape.words();
        const uint64_t *q = reinterpret_cast<const uint64_t *>(queries) + first * words;
        const uint64_t *codes = reinterpret_cast<const uint64_t *>(block);
        const int64_t tiled = n == tile ? m / tile * tile : 0;
        for (int64_t j = 0; j < tiled; j += tile)
            hamming_tile(q, codes + j * words, words, out + j, ld);
        for (int64_t i = 0; i < n && tiled < m; i++)
            hamming(shape, reinterpret_cast<const uint8_t *>(q + i * words),
                    block + tiled * shape.row_bytes, m - tiled, out + i * ld + tiled);
    }
};

ISOHASH_AVX512 int64_t find_below(const int32_t *distances, int64_t start, int64_t m,
                                  int32_t limit) {
    const Vector limits = _mm512_set1_epi32(limit);
    int64_t i = start;
    for (; i + 16 <= m; i += 16) {
        const __mmask16 below = _mm512_cmpgt_epi32_mask(limits, load(distances + i));
        if (below) return i + __builtin_ctz(below);
    }
    while (i < m && distances[i] >= limit) i++;
    return i;
}

ISOHASH_AVX512 int32_t least(const int32_t *distances, int64_t m) { return least_of(distances, m); }

const Tiles tiles;

bool machine_has_it() {
#ifdef ISOHASH_EMULATE
    return true;
#else
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vpopcntdq");
#endif
}

} // namespace

const Level *avx512_level() {
    static const Level level = {{hamming, avx512_symbols(ISOHASH_LEE),
                                 avx512_symbols(ISOHASH_SQUARED_LEE),
                                 avx512_symbols(ISOHASH_DIFFERENT),
                                 avx512_symbols(ISOHASH_ABSOLUTE), avx512_symbols(ISOHASH_SQUARED)},
                                {avx512_slices(), avx512_squares(), &tiles, avx2_lookup(), nullptr},
                                find_below,
                                least};
    return machine_has_it() && avx2_lookup() ? &level : nullptr;
}

} // namespace isohash

#else

namespace isohash {
const Level *avx512_level() { return nullptr; }
} // namespace isohash

#endif
