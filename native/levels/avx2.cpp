// The AVX2 level. Bits are counted by looking up both halves of every byte in a table of 16.
//
// These direct kernels walk along one code at a time (or four, sharing the last sums); batches of
// bits and of small symbols have a kernel of their own (avx2_lookup.cpp).

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>
#include <cstring>

#include "levels/avx2.hpp"

namespace isohash {
namespace {

using namespace avx2;
constexpr int64_t vector_words = 4;
// How far ahead of the computation codes are asked for. Measured on Zen 3: short codes lose by a
// longer way (the hardware knows better), long ones gain a fifth by it.
constexpr int64_t short_code_prefetch = 512, long_code_prefetch = 2048;
// Words from which one code at a time is as fast as four that share their last sums.
constexpr int64_t long_code_words = 32;

// Set bits of each byte.
ISOHASH_AVX2 inline Vector count_bytes(Vector v) {
    const Vector counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return _mm256_add_epi8(_mm256_shuffle_epi8(counts, low_nibbles(v)),
                           _mm256_shuffle_epi8(counts, high_nibbles(v)));
}

ISOHASH_AVX2 inline Vector sums_of_8_bytes(Vector v) {
    return _mm256_sad_epu8(v, _mm256_setzero_si256());
}

ISOHASH_AVX2 inline int64_t sum_of_4(Vector v) {
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

// Differing bits of words [first, last), `last - first` a multiple of 4, as four 64-bit sums.
ISOHASH_AVX2 inline Vector differing(const uint64_t *a, const uint64_t *b, int64_t first,
                                     int64_t last) {
    constexpr int64_t fit = 31 * vector_words; // a byte holds 31 counts of up to 8
    Vector total = _mm256_setzero_si256();
    while (first < last) {
        Vector bytes = _mm256_setzero_si256();
        for (const int64_t end = std::min(last, first + fit); first < end; first += vector_words)
            bytes = _mm256_add_epi8(
                bytes, count_bytes(_mm256_xor_si256(load(a + first), load(b + first))));
        total = _mm256_add_epi64(total, sums_of_8_bytes(bytes));
    }
    return total;
}

ISOHASH_AVX2 inline int32_t differing_tail(const uint64_t *a, const uint64_t *b, int64_t first,
                                           int64_t last) {
    int64_t sum = 0;
    for (; first < last; first++)
        sum += __builtin_popcountll(word_at(a + first) ^ word_at(b + first));
    return static_cast<int32_t>(sum);
}

// Four vectors of four 64-bit sums, each below 2^32 -> the four totals.
ISOHASH_AVX2 inline __m128i four_totals(Vector s0, Vector s1, Vector s2, Vector s3) {
    const Vector s01 = _mm256_or_si256(s0, _mm256_slli_epi64(s1, 32));
    const Vector s23 = _mm256_or_si256(s2, _mm256_slli_epi64(s3, 32));
    const Vector pairs =
        _mm256_add_epi32(_mm256_unpacklo_epi64(s01, s23), _mm256_unpackhi_epi64(s01, s23));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

// The low halves of four 64-bit numbers.
ISOHASH_AVX2 inline __m128i low_halves(Vector v) {
    const Vector even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(v, even));
}

// Codes of one word: a vector holds four of them.
ISOHASH_AVX2 void hamming_64_bits(const uint64_t *query, const uint64_t *codes, int64_t m,
                                  int32_t *out) {
    const Vector q = _mm256_set1_epi64x(static_cast<int64_t>(word_at(query)));
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        const Vector counts = count_bytes(_mm256_xor_si256(q, load(codes + i)));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i), low_halves(sums_of_8_bytes(counts)));
    }
    for (; i < m; i++) out[i] = differing_tail(query, codes + i, 0, 1);
}

// Codes of two words: a vector holds two of them.
ISOHASH_AVX2 void hamming_128_bits(const uint64_t *query, const uint64_t *codes, int64_t m,
                                   int32_t *out) {
    const Vector q =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(query)));
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        const uint64_t *code = codes + 2 * i;
        const Vector first = sums_of_8_bytes(count_bytes(_mm256_xor_si256(q, load(code))));
        const Vector second = sums_of_8_bytes(count_bytes(_mm256_xor_si256(q, load(code + 4))));
        const Vector sums = _mm256_add_epi64(_mm256_unpacklo_epi64(first, second),
                                             _mm256_unpackhi_epi64(first, second));
        constexpr int codes_in_order = 0xd8; // 0, 2, 1, 3
        _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i),
                         low_halves(_mm256_permute4x64_epi64(sums, codes_in_order)));
    }
    for (; i < m; i++) out[i] = differing_tail(query, codes + 2 * i, 0, 2);
}

ISOHASH_AVX2 void hamming_four_codes(const uint64_t *query, const uint64_t *codes, int64_t m,
                                     int64_t words, int32_t *out) {
    const int64_t whole = words / vector_words * vector_words;
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        const uint64_t *c0 = codes + i * words, *c1 = c0 + words, *c2 = c1 + words,
                       *c3 = c2 + words;
        __m128i totals =
            four_totals(differing(query, c0, 0, whole), differing(query, c1, 0, whole),
                        differing(query, c2, 0, whole), differing(query, c3, 0, whole));
        if (whole < words)
            totals = _mm_add_epi32(totals, _mm_setr_epi32(differing_tail(query, c0, whole, words),
                                                          differing_tail(query, c1, whole, words),
                                                          differing_tail(query, c2, whole, words),
                                                          differing_tail(query, c3, whole, words)));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i), totals);
    }
    for (; i < m; i++) out[i] = differing_tail(query, codes + i * words, 0, words);
}

// 512 bits, where the query stays in two registers: the commonest short code.
ISOHASH_AVX2 void hamming_512_bits(const uint64_t *query, const uint64_t *codes, int64_t m,
                                   int32_t *out) {
    const Vector q0 = load(query), q1 = load(query + 4);
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        const uint64_t *c = codes + i * 8;
        _mm_prefetch(reinterpret_cast<const char *>(c) + short_code_prefetch, _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char *>(c) + short_code_prefetch + 128, _MM_HINT_T0);
        Vector sums[4];
        for (int r = 0; r < 4; r++) {
            const Vector x0 = _mm256_xor_si256(q0, load(c + 8 * r));
            const Vector x1 = _mm256_xor_si256(q1, load(c + 8 * r + 4));
            sums[r] = sums_of_8_bytes(_mm256_add_epi8(count_bytes(x0), count_bytes(x1)));
        }
        _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i),
                         four_totals(sums[0], sums[1], sums[2], sums[3]));
    }
    for (; i < m; i++) out[i] = differing_tail(query, codes + i * 8, 0, 8);
}

ISOHASH_AVX2 void hamming_long_codes(const uint64_t *query, const uint64_t *codes, int64_t m,
                                     int64_t words, int32_t *out) {
    constexpr int64_t stretch = 16; // words: two cache lines between prefetches
    for (int64_t i = 0; i < m; i++) {
        const uint64_t *code = codes + i * words;
        Vector total = _mm256_setzero_si256();
        int64_t j = 0;
        for (; j + stretch <= words; j += stretch) {
            const char *ahead = reinterpret_cast<const char *>(code + j) + long_code_prefetch;
            _mm_prefetch(ahead, _MM_HINT_T0);
            _mm_prefetch(ahead + 64, _MM_HINT_T0);
            total = _mm256_add_epi64(total, differing(query, code, j, j + stretch));
        }
        out[i] = static_cast<int32_t>(sum_of_4(total)) + differing_tail(query, code, j, words);
    }
}

ISOHASH_AVX2 void hamming(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
                          int32_t *out) {
    const int64_t words = shape.words();
    const uint64_t *q = reinterpret_cast<const uint64_t *>(query);
    const uint64_t *rows = reinterpret_cast<const uint64_t *>(codes);
    if (words == 1)
        hamming_64_bits(q, rows, m, out);
    else if (words == 2)
        hamming_128_bits(q, rows, m, out);
    else if (words == 3)
        scalar_level()->direct[ISOHASH_HAMMING](shape, query, codes, m, out);
    else if (words == 8)
        hamming_512_bits(q, rows, m, out);
    else if (words < long_code_words)
        hamming_four_codes(q, rows, m, words, out);
    else
        hamming_long_codes(q, rows, m, words, out);
}

// ---- symbols of a byte, or of half a byte ----

ISOHASH_AVX2 inline Vector apart(Vector a, Vector b) {
    return _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
}

// min(d, q - d); for q = 256, q - d is taken modulo 256, where d = 0 wins the minimum anyway.
ISOHASH_AVX2 inline Vector lee_steps(Vector a, Vector b, Vector q) {
    const Vector d = apart(a, b);
    return _mm256_min_epu8(d, _mm256_sub_epi8(q, d));
}

// The steps' 64-bit sums.
ISOHASH_AVX2 inline Vector lee_sums(Vector a, Vector b, Vector q) {
    return sums_of_8_bytes(lee_steps(a, b, q));
}

// 32-bit sums of squares. Steps reach 255, so they are widened before they are squared.
ISOHASH_AVX2 inline Vector sums_of_squares(Vector steps) {
    const Vector zero = _mm256_setzero_si256();
    const Vector low = _mm256_unpacklo_epi8(steps, zero), high = _mm256_unpackhi_epi8(steps, zero);
    return _mm256_add_epi32(_mm256_madd_epi16(low, low), _mm256_madd_epi16(high, high));
}

ISOHASH_AVX2 inline Vector squared_lee_sums(Vector a, Vector b, Vector q) {
    return sums_of_squares(lee_steps(a, b, q));
}

ISOHASH_AVX2 inline Vector absolute_sums(Vector a, Vector b, Vector) {
    return sums_of_8_bytes(apart(a, b));
}

ISOHASH_AVX2 inline Vector squared_sums(Vector a, Vector b, Vector) {
    return sums_of_squares(apart(a, b));
}

// The numbers of symbols that differ, as 64-bit sums.
ISOHASH_AVX2 inline Vector different_sums(Vector a, Vector b, Vector) {
    const Vector one = _mm256_set1_epi8(1);
    return sums_of_8_bytes(_mm256_andnot_si256(_mm256_cmpeq_epi8(a, b), one));
}

ISOHASH_AVX2 inline int32_t sum_of_8(Vector v) {
    const Vector low = _mm256_and_si256(v, _mm256_set1_epi64x(0xffffffff));
    return static_cast<int32_t>(sum_of_4(_mm256_add_epi64(low, _mm256_srli_epi64(v, 32))));
}

using SymbolSums = Vector (*)(Vector, Vector, Vector);

// The sums of 32 bytes of symbols, one or two a byte.
template <SymbolSums sums, bool two_a_byte>
ISOHASH_AVX2 inline Vector sums_of_bytes(Vector a, Vector b, Vector q) {
    if (!two_a_byte) return sums(a, b, q);
    return _mm256_add_epi32(sums(low_nibbles(a), low_nibbles(b), q),
                            sums(high_nibbles(a), high_nibbles(b), q));
}

// Sums over one code. `sums` may hold 32-bit or 64-bit sums: both are below 2^32 in all.
template <SymbolSums sums, bool two_a_byte>
ISOHASH_AVX2 inline int32_t symbol_distance(const uint8_t *a, const uint8_t *b, int64_t width,
                                            Vector q) {
    Vector total = _mm256_setzero_si256();
    int64_t j = 0;
    for (; j + vector_bytes <= width; j += vector_bytes)
        total =
            _mm256_add_epi32(total, sums_of_bytes<sums, two_a_byte>(load(a + j), load(b + j), q));
    if (j < width) { // equal padding adds nothing under any metric
        alignas(32) uint8_t pads[2][vector_bytes] = {};
        std::memcpy(pads[0], a + j, static_cast<size_t>(width - j));
        std::memcpy(pads[1], b + j, static_cast<size_t>(width - j));
        total = _mm256_add_epi32(total,
                                 sums_of_bytes<sums, two_a_byte>(load(pads[0]), load(pads[1]), q));
    }
    return sum_of_8(total);
}

template <SymbolSums sums, bool two_a_byte>
ISOHASH_AVX2 void symbol_distances(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                                   int64_t m, int32_t *out) {
    const Vector q = shape.symbol_bits == 16 ? _mm256_set1_epi16(static_cast<short>(shape.q))
                                             : _mm256_set1_epi8(static_cast<char>(shape.q));
    for (int64_t i = 0; i < m; i++) {
        const uint8_t *code = codes + i * shape.row_bytes;
        out[i] = symbol_distance<sums, two_a_byte>(query, code, shape.row_bytes, q);
    }
}

// ---- symbols of two bytes, up to 32767 ----

using Steps = Vector (*)(Vector, Vector, Vector);

ISOHASH_AVX2 inline Vector wide_apart(Vector a, Vector b, Vector) {
    return _mm256_abs_epi16(_mm256_sub_epi16(a, b));
}

ISOHASH_AVX2 inline Vector wide_lee(Vector a, Vector b, Vector q) {
    const Vector d = wide_apart(a, b, q);
    return _mm256_min_epi16(d, _mm256_sub_epi16(q, d));
}

ISOHASH_AVX2 inline Vector wide_different(Vector a, Vector b, Vector) {
    return _mm256_andnot_si256(_mm256_cmpeq_epi16(a, b), _mm256_set1_epi16(1));
}

template <Steps steps, bool squared>
ISOHASH_AVX2 inline Vector wide_sums(Vector a, Vector b, Vector q) {
    const Vector s = steps(a, b, q);
    return _mm256_madd_epi16(s, squared ? s : _mm256_set1_epi16(1));
}

template <SymbolSums sums, Steps steps, bool squared>
ISOHASH_AVX2 void symbols(const Shape &shape, const uint8_t *query, const uint8_t *codes, int64_t m,
                          int32_t *out) {
    if (shape.symbol_bits == 8)
        symbol_distances<sums, false>(shape, query, codes, m, out);
    else if (shape.symbol_bits == 4)
        symbol_distances<sums, true>(shape, query, codes, m, out);
    else
        symbol_distances<wide_sums<steps, squared>, false>(shape, query, codes, m, out);
}

// ---- selection ----

ISOHASH_AVX2 int64_t find_below(const int32_t *distances, int64_t start, int64_t m, int32_t limit) {
    const Vector limits = _mm256_set1_epi32(limit);
    int64_t i = start;
    for (; i + 16 <= m; i += 16) {
        const Vector low = _mm256_cmpgt_epi32(limits, load(distances + i));
        const Vector high = _mm256_cmpgt_epi32(limits, load(distances + i + 8));
        const unsigned below = static_cast<unsigned>(_mm256_movemask_epi8(
            _mm256_packs_epi16(_mm256_packs_epi32(low, high), _mm256_setzero_si256())));
        if (below) break;
    }
    while (i < m && distances[i] >= limit) i++;
    return i;
}

ISOHASH_AVX2 int32_t least(const int32_t *distances, int64_t m) { return least_of(distances, m); }

} // namespace

const Level *avx2_level() {
    static const Level level = {
        {hamming, symbols<lee_sums, wide_lee, false>, symbols<squared_lee_sums, wide_lee, true>,
         symbols<different_sums, wide_different, false>, symbols<absolute_sums, wide_apart, false>,
         symbols<squared_sums, wide_apart, true>},
        {avx2_lookup()},
        find_below,
        least};
    return avx2_lookup() ? &level : nullptr;
}

} // namespace isohash

#else

namespace isohash {
const Level *avx2_level() { return nullptr; }
} // namespace isohash

#endif
