// Batches of bit codes on the AVX-512 level, counted on their side.
//
// A block of 512 codes becomes slices: vector p holds bit p of all of them. A query's distance to
// all 512 is the sum over p of slice p, or of its complement where the query's bit is set; both are
// kept, so a query is a list of which to take. Sums are held in slices too: slice l of a sum holds
// bit l of 512 numbers. A full adder takes three slices of one weight to one of that weight and one
// of the next, in two ternary operations, so n slices cost about n adders (the carry-save tree of
// Harley and Seal), and no sums across a vector are needed. Whether a distance is below a limit is
// one operation per slice, again for 512 codes; only those that are get a number.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>
#include <cstring>

#include "levels/avx512.hpp"

#define ISOHASH_SLICES                                                                             \
    ISOHASH_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vbmi,gfni,popcnt")
#define ISOHASH_SLICES_INLINE ISOHASH_SLICES __attribute__((always_inline)) inline

namespace isohash {
namespace {

constexpr int64_t block_codes = 512, word_bits = 64;
constexpr int64_t slice_bytes = 64;
constexpr int64_t pair_bytes = 2 * slice_bytes; // a slice and its complement
constexpr int64_t chunk_bits = 128;             // positions counted at once: 16 KB of slices
constexpr int64_t state_slices = 16;            // of a sum: up to 65 535
constexpr int64_t enough_queries = 24;          // that pay for turning the codes
constexpr int64_t mark_words = block_codes / 64;
constexpr int64_t most_queries = 64; // counted together

ISOHASH_SLICES_INLINE Vector load_slice(const void *p) { return _mm512_load_si512(p); }
ISOHASH_SLICES_INLINE void store_slice(void *p, Vector v) { _mm512_store_si512(p, v); }

// ---- turning codes on their side ----

// Transposes 8 x 8 words.
ISOHASH_SLICES_INLINE void transpose_words(Vector v[8]) {
    Vector t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
    for (int odd = 0; odd < 2; odd++) { // 4 x 4 quarters of the even and of the odd columns
        const Vector low_0 = _mm512_shuffle_i64x2(t[odd], t[odd + 2], 0x44);
        const Vector low_1 = _mm512_shuffle_i64x2(t[odd + 4], t[odd + 6], 0x44);
        const Vector high_0 = _mm512_shuffle_i64x2(t[odd], t[odd + 2], 0xee);
        const Vector high_1 = _mm512_shuffle_i64x2(t[odd + 4], t[odd + 6], 0xee);
        v[odd] = _mm512_shuffle_i64x2(low_0, low_1, 0x88);
        v[odd + 2] = _mm512_shuffle_i64x2(low_0, low_1, 0xdd);
        v[odd + 4] = _mm512_shuffle_i64x2(high_0, high_1, 0x88);
        v[odd + 6] = _mm512_shuffle_i64x2(high_0, high_1, 0xdd);
    }
}

// Eight words -> 64 bytes: byte p holds bit p of each word, the first word's lowest.
ISOHASH_SLICES_INLINE Vector bits_of_words(Vector words) {
    // Byte b of all words into word b, in falling order: the affine product reads rows so.
    alignas(64) uint8_t order[64];
    for (int b = 0; b < 8; b++)
        for (int i = 0; i < 8; i++) order[8 * b + 7 - i] = static_cast<uint8_t>(8 * i + b);
    const Vector columns = _mm512_permutexvar_epi8(load_slice(order), words);
    const Vector unit = _mm512_set1_epi64(INT64_C(0x8040201008040201));
    return _mm512_gf2p8affine_epi64_epi8(unit, columns, 0);
}

// 64 rows of 64 bytes -> for each column a slice and its complement.
ISOHASH_SLICES void store_slices(const uint8_t rows[64][64], uint8_t *out) {
    Vector groups[8][8]; // [k][g]: columns 16 L + 2 k + h of rows 8 g .. 8 g + 7 in word 2 L + h
    for (int g = 0; g < 8; g++) {
        Vector v[8];
        for (int i = 0; i < 8; i++) v[i] = load_slice(rows[8 * g + i]);
        for (int round = 0; round < 3; round++) { // each a perfect shuffle of 8 x 16 bytes
            Vector shuffled[8];
            for (int i = 0; i < 4; i++) {
                shuffled[2 * i] = _mm512_unpacklo_epi8(v[i], v[i + 4]);
                shuffled[2 * i + 1] = _mm512_unpackhi_epi8(v[i], v[i + 4]);
            }
            std::copy(shuffled, shuffled + 8, v);
        }
        for (int k = 0; k < 8; k++) groups[k][g] = v[k];
    }
    for (int k = 0; k < 8; k++) {
        transpose_words(groups[k]);
        for (int j = 0; j < 8; j++) {
            uint8_t *place = out + (j / 2 * 16 + 2 * k + j % 2) * pair_bytes;
            const Vector slice = groups[k][j];
            store_slice(place, slice);
            store_slice(place + slice_bytes, _mm512_xor_si512(slice, _mm512_set1_epi32(-1)));
        }
    }
}

// Words [first, first + n), n <= 8, of 512 rows; the last of m stands in for those beyond it.
ISOHASH_SLICES void turn_words(const uint64_t *codes, int64_t m, int64_t words, int64_t first,
                               int64_t n, uint8_t *out) {
    alignas(64) uint8_t bytes[8][64][64];
    const __mmask8 mask = static_cast<__mmask8>((1u << n) - 1);
    // What is wanted next: the words that follow, or the rows of the next block.
    const int64_t ahead = first + 8 < words ? 8 : block_codes * words - first;
    for (int64_t g = 0; g < 64; g++) {
        Vector v[8];
        for (int64_t i = 0; i < 8; i++) {
            const uint64_t *row = codes + std::min(8 * g + i, m - 1) * words;
            v[i] = _mm512_maskz_loadu_epi64(mask, row + first);
            _mm_prefetch(reinterpret_cast<const char *>(row + first + ahead), _MM_HINT_T1);
        }
        transpose_words(v);
        for (int64_t w = 0; w < n; w++) store_slice(bytes[w][g], bits_of_words(v[w]));
    }
    for (int64_t w = 0; w < n; w++) store_slices(bytes[w], out + w * word_bits * pair_bytes);
}

// ---- counting ----

// Adds x and y to the sum; what it carries to the next weight.
ISOHASH_SLICES_INLINE Vector full_adder(Vector &sum, Vector x, Vector y) {
    constexpr int majority = 0xe8, parity = 0x96;
    const Vector carry = _mm512_ternarylogic_epi64(sum, x, y, majority);
    sum = _mm512_ternarylogic_epi64(sum, x, y, parity);
    return carry;
}

// Adds 2^levels slices, those at `offsets` in `slices`, to sums of weights 1 .. 2^(levels - 1);
// the carry has the weight 2^levels.
template <int levels> struct Adders {
    ISOHASH_SLICES_INLINE static Vector run(Vector *sums, const uint8_t *slices,
                                            const uint16_t *offsets) {
        const Vector low = Adders<levels - 1>::run(sums, slices, offsets);
        const Vector high = Adders<levels - 1>::run(sums, slices, offsets + (1 << (levels - 1)));
        return full_adder(sums[levels - 1], low, high);
    }
};
template <> struct Adders<1> {
    ISOHASH_SLICES_INLINE static Vector run(Vector *sums, const uint8_t *slices,
                                            const uint16_t *offsets) {
        return full_adder(sums[0], load_slice(slices + offsets[0]),
                          load_slice(slices + offsets[1]));
    }
};

// Adds 2^levels slices to a sum of `n` slices.
template <int levels>
ISOHASH_SLICES void count(const uint8_t *slices, const uint16_t *offsets, uint8_t *sum, int64_t n) {
    Vector low[levels];
#pragma GCC unroll 8
    for (int l = 0; l < levels; l++) low[l] = load_slice(sum + l * slice_bytes);
    Vector carry = Adders<levels>::run(low, slices, offsets);
#pragma GCC unroll 8
    for (int l = 0; l < levels; l++) store_slice(sum + l * slice_bytes, low[l]);
    for (int64_t l = levels; l < n; l++) {
        const Vector old = load_slice(sum + l * slice_bytes);
        store_slice(sum + l * slice_bytes, _mm512_xor_si512(old, carry));
        carry = _mm512_and_si512(old, carry);
    }
}

// ---- distances ----

ISOHASH_SLICES_INLINE int64_t count_bits(Vector v) {
    return _mm512_reduce_add_epi64(_mm512_popcnt_epi64(v));
}

// The limit above the k-th smallest of the `among` sums, of which there are more than k.
ISOHASH_SLICES int32_t limit_of_nearest(const uint8_t *sum, int64_t n, Vector among, int64_t k) {
    int32_t kth = 0;
    for (int64_t l = n - 1; l >= 0; l--) {
        const Vector slice = load_slice(sum + l * slice_bytes);
        const Vector without = _mm512_andnot_si512(slice, among);
        const int64_t smaller = count_bits(without);
        if (smaller >= k) {
            among = without;
        } else {
            k -= smaller;
            kth |= 1 << l;
            among = _mm512_and_si512(slice, among);
        }
    }
    return kth + 1;
}

// Which of 512 sums of `n` slices are below the limit.
ISOHASH_SLICES_INLINE Vector are_below(const uint8_t *sum, int64_t n, int32_t limit) {
    if (limit >> n) return _mm512_set1_epi32(-1);
    Vector below = _mm512_setzero_si512();
    for (int64_t l = 0; l < n; l++) { // the highest slice that differs from the limit decides
        const Vector slice = load_slice(sum + l * slice_bytes);
        constexpr int not_a_or_b = 0xcf, not_a_and_b = 0x0c;
        below = limit >> l & 1 ? _mm512_ternarylogic_epi64(slice, below, below, not_a_or_b)
                               : _mm512_ternarylogic_epi64(slice, below, below, not_a_and_b);
    }
    return below;
}

int32_t one_distance(const uint8_t *sum, int64_t n, int64_t code) {
    int32_t distance = 0;
    for (int64_t l = 0; l < n; l++)
        distance |= (sum[l * slice_bytes + code / 8] >> code % 8 & 1) << l;
    return distance;
}

ISOHASH_SLICES void all_distances(const uint8_t *sum, int64_t n, int32_t *out) {
    for (int64_t code = 0; code < block_codes; code += 16) {
        Vector sixteen = _mm512_setzero_si512();
        for (int64_t l = 0; l < n; l++) {
            __mmask16 bits;
            std::memcpy(&bits, sum + l * slice_bytes + code / 8, sizeof bits);
            sixteen = _mm512_mask_add_epi32(sixteen, bits, sixteen, _mm512_set1_epi32(1 << l));
        }
        _mm512_storeu_si512(out + code, sixteen);
    }
}

ISOHASH_SLICES_INLINE Vector first_codes(int64_t m) {
    alignas(64) uint64_t words[mark_words];
    for (int64_t w = 0; w < mark_words; w++) {
        const int64_t valid = std::clamp<int64_t>(m - 64 * w, 0, 64);
        words[w] = valid < 64 ? (UINT64_C(1) << valid) - 1 : ~UINT64_C(0);
    }
    return load_slice(words);
}

// Marks which of the codes in `valid` are of interest, and writes their distances.
ISOHASH_SLICES void finish(const uint8_t *sum, int64_t n, Vector valid, Interest interest,
                           int32_t *out, uint64_t *marks) {
    constexpr int64_t few = 24;
    Vector below = _mm512_and_si512(valid, are_below(sum, n, interest.limit));
    int64_t marked = count_bits(below);
    if (marked > interest.most) {
        const int32_t limit = limit_of_nearest(sum, n, below, interest.most);
        below = _mm512_and_si512(below, are_below(sum, n, limit));
        marked = count_bits(below);
    }
    _mm512_storeu_si512(marks, below);
    if (marked > few) return all_distances(sum, n, out);
    for (int64_t w = 0; w < mark_words; w++)
        for (uint64_t left = marks[w]; left; left &= left - 1) {
            const int64_t code = 64 * w + lowest_bit(left);
            out[code] = one_distance(sum, n, code);
        }
}

class Slices : public BatchKernel {
  public:
    bool serves(const Shape &shape, int64_t n_queries) const override {
        return shape.metric == ISOHASH_HAMMING && n_queries >= enough_queries &&
               bits(shape) < int64_t{1} << state_slices;
    }
    int64_t block_rows(const Shape &) const override { return block_codes; }
    int64_t group() const override { return most_queries; }
    bool marks_codes() const override { return true; }

    // Per query and position which of two slices to take: its place in the chunk, in bytes. All
    // queries of a group follow each other before the next chunk begins.
    int64_t prepared_queries_bytes(const Shape &shape, int64_t n) const override {
        return n * bits(shape) * static_cast<int64_t>(sizeof(uint16_t));
    }
    int64_t prepared_block_bytes(const Shape &shape, int64_t) const override {
        return bits(shape) * pair_bytes;
    }

    void prepare_queries(const Shape &shape, const uint8_t *queries, int64_t n,
                         uint8_t *out) const override {
        for (int64_t first = 0; first < n; first += most_queries) {
            const int64_t some = std::min(most_queries, n - first);
            for (int64_t p = 0; p < bits(shape); p += chunk_bits)
                for (int64_t i = first; i < first + some; i++)
                    out = write_offsets(queries + i * shape.row_bytes + p / 8,
                                        std::min(chunk_bits, bits(shape) - p), out);
        }
    }

    void prepare_block(const Shape &shape, const uint8_t *codes, int64_t m,
                       uint8_t *out) const override {
        const uint64_t *rows = reinterpret_cast<const uint64_t *>(codes);
        for (int64_t first = 0; first < shape.words(); first += 8)
            turn_words(rows, m, shape.words(), first, std::min<int64_t>(8, shape.words() - first),
                       out + first * word_bits * pair_bytes);
    }

    ISOHASH_SLICES void run(const Shape &shape, const uint8_t *queries, int64_t first, int64_t n,
                            const uint8_t *block, int64_t m, int32_t *out, int64_t ld,
                            const Interest *interests, uint64_t *marks) const override {
        alignas(64) uint8_t sums[most_queries * state_slices * slice_bytes];
        const int64_t all = bits(shape);
        int64_t n_slices = 1; // of a sum up to `all`
        while (all >> n_slices) n_slices++;
        const int64_t sum_bytes = n_slices * slice_bytes;
        std::memset(sums, 0, static_cast<size_t>(n * sum_bytes));
        const uint16_t *offsets = reinterpret_cast<const uint16_t *>(queries) + first * all;
        for (int64_t p = 0; p < all; p += chunk_bits) {
            const int64_t some = std::min(chunk_bits, all - p);
            for (int64_t i = 0; i < n; i++, offsets += some)
                (some == chunk_bits ? count<7> : count<6>)(block + p * pair_bytes, offsets,
                                                           sums + i * sum_bytes, n_slices);
        }
        const Vector valid = first_codes(m);
        for (int64_t i = 0; i < n; i++)
            finish(sums + i * sum_bytes, n_slices, valid, interests[i], out + i * ld,
                   marks + i * mark_words);
    }

  private:
    static int64_t bits(const Shape &shape) { return word_bits * shape.words(); }

    ISOHASH_SLICES static uint8_t *write_offsets(const uint8_t *bits, int64_t n, uint8_t *out) {
        alignas(64) uint16_t plain[32]; // of 32 positions that are not set
        for (int64_t p = 0; p < 32; p++) plain[p] = static_cast<uint16_t>(p * pair_bytes);
        Vector places = load_slice(plain);
        for (int64_t p = 0; p < n; p += 32, bits += 4, out += 64) {
            uint32_t set;
            std::memcpy(&set, bits, sizeof set);
            store_slice(out,
                        _mm512_mask_add_epi16(places, set, places, _mm512_set1_epi16(slice_bytes)));
            places = _mm512_add_epi16(places, _mm512_set1_epi16(32 * pair_bytes));
        }
        return out;
    }
};

const Slices slices;

bool machine_has_it() {
#ifdef ISOHASH_EMULATE
    return true;
#else
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni");
#endif
}

} // namespace

const BatchKernel *avx512_slices() { return machine_has_it() ? &slices : nullptr; }

} // namespace isohash

#endif
