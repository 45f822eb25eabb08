// The AMX level: Hamming distances of large batches as products of matrices of bytes.
//
// With a query as bytes y = 2q - 1 (+1 for a set bit, -1 for a clear one) and a code as bytes -x
// (-1 for a set bit, 0 for a clear one), the distance is |q| + sum_i (-x_i) y_i: the accumulators
// begin with the number of set bits of each query and end with distances. Codes are widened block
// by block, so memory still holds one bit per bit. What is not a large batch falls to AVX-512.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "levels/simd_x86.hpp"

#define ISOHASH_AMX                                                                                \
    ISOHASH_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,amx-tile,amx-int8,popcnt")

namespace isohash {
namespace {

using Vector = __m512i;
constexpr int64_t side = 16;        // rows of a tile; numbers in a row
constexpr int64_t row_of_tile = 64; // bytes
constexpr int64_t tile_bytes = side * row_of_tile;
constexpr int64_t pair = 2 * side;                // queries or codes of two tiles
constexpr int64_t block_target_bytes = 256 << 10; // of widened codes: an eighth of the cache
constexpr int64_t chunks_per_slice = 8;           // words of a code between two stores
constexpr int64_t enough_queries = 64;            // widening codes must pay

// The compiler knows too little about what tile instructions read and write.
inline void settle_memory() { asm volatile("" : : : "memory"); }

struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};

ISOHASH_AMX void use_full_tiles() {
    TileConfig config;
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = row_of_tile;
        config.rows[i] = side;
    }
    settle_memory();
    _tile_loadconfig(&config);
    settle_memory();
}

int64_t padded(int64_t n) { return (n + pair - 1) / pair * pair; }

// Where things lie among the prepared queries: first the accumulators' beginnings (a row of 16
// equal numbers per query), then per word and tile of 16 queries a tile of bytes.
struct Queries {
    const uint8_t *data;
    int64_t tiles;

    const uint8_t *beginnings(int64_t tile) const { return data + tile * tile_bytes; }
    const uint8_t *bytes(int64_t word, int64_t tile) const {
        return data + (tiles + word * tiles + tile) * tile_bytes;
    }
};

ISOHASH_AMX void widen_query(const uint64_t *query, int64_t words, int64_t number, int64_t tiles,
                             uint8_t *out) {
    int64_t set_bits = 0;
    uint8_t *place = out + number / side * tile_bytes + number % side * row_of_tile;
    for (int64_t word = 0; word < words; word++) {
        const uint64_t bits = word_at(query + word);
        set_bits += __builtin_popcountll(bits);
        const Vector bytes =
            _mm512_mask_blend_epi8(bits, _mm512_set1_epi8(-1), _mm512_set1_epi8(1));
        _mm512_store_si512(place + (1 + word) * tiles * tile_bytes, bytes);
    }
    _mm512_store_si512(place, _mm512_set1_epi32(static_cast<int>(set_bits)));
}

// Where bytes first .. first + 3 of 16 words lie: 16 places of one byte, then 16 of the next.
struct alignas(64) Places {
    uint8_t of[64];

    constexpr explicit Places(int first) : of() {
        for (int b = 0; b < 4; b++)
            for (int n = 0; n < 16; n++) of[16 * b + n] = static_cast<uint8_t>(8 * n + first + b);
    }
};
constexpr Places low_columns(0), high_columns(4);

ISOHASH_AMX inline Vector four_columns(Vector words_0_to_7, Vector words_8_to_15,
                                       const Places &places) {
    return _mm512_permutex2var_epi8(words_0_to_7, _mm512_load_si512(places.of), words_8_to_15);
}

// For each of 4 columns of 16 bytes, the 16 low and the 16 high halves, as 64-bit masks: mask 2b
// has the low halves of column b, mask 2b + 1 the high ones.
ISOHASH_AMX inline void masks_of_columns(Vector columns, uint64_t masks[8]) {
    const Vector first = _mm512_set1_epi16(0x000f), second = _mm512_set1_epi16(0x00f0);
    const Vector by_4 = _mm512_srli_epi16(columns, 4), by_8 = _mm512_srli_epi16(columns, 8);
    const Vector low =
        _mm512_or_si512(_mm512_and_si512(columns, first), _mm512_and_si512(by_4, second));
    const Vector high =
        _mm512_or_si512(_mm512_and_si512(by_4, first), _mm512_and_si512(by_8, second));
    alignas(32) uint64_t lows[4], highs[4];
    _mm256_store_si256(reinterpret_cast<__m256i *>(lows), _mm512_cvtepi16_epi8(low));
    _mm256_store_si256(reinterpret_cast<__m256i *>(highs), _mm512_cvtepi16_epi8(high));
    for (int b = 0; b < 4; b++) {
        masks[2 * b] = lows[b];
        masks[2 * b + 1] = highs[b];
    }
}

// One word of 16 codes as a right-hand tile: row k holds bits 4k .. 4k + 3 of every code.
ISOHASH_AMX void widen_words(const uint64_t words[side], uint8_t *tile) {
    const Vector low = _mm512_load_si512(words), high = _mm512_load_si512(words + 8);
    uint64_t masks[side];
    masks_of_columns(four_columns(low, high, low_columns), masks);
    masks_of_columns(four_columns(low, high, high_columns), masks + 8);
    for (int64_t k = 0; k < side; k++)
        _mm512_store_si512(tile + k * row_of_tile, _mm512_movm_epi8(masks[k]));
}

// Adds to the distances of 32 queries to 32 codes what `n` words contribute; the first words find
// the accumulators' beginnings. Four tiles accumulate, each operand is loaded once for two uses.
ISOHASH_AMX void add_words(const Queries &queries, int64_t query_tile, const uint8_t *codes_0,
                           const uint8_t *codes_1, int64_t first_word, int64_t n, int32_t *out,
                           int64_t ld) {
    const int64_t stride = ld * static_cast<int64_t>(sizeof(int32_t));
    int32_t *lower = out + side * ld;
    if (first_word == 0) {
        _tile_loadd(0, queries.beginnings(query_tile), row_of_tile);
        _tile_loadd(1, queries.beginnings(query_tile), row_of_tile);
        _tile_loadd(2, queries.beginnings(query_tile + 1), row_of_tile);
        _tile_loadd(3, queries.beginnings(query_tile + 1), row_of_tile);
    } else {
        _tile_loadd(0, out, stride);
        _tile_loadd(1, out + side, stride);
        _tile_loadd(2, lower, stride);
        _tile_loadd(3, lower + side, stride);
    }
    for (int64_t word = first_word; word < first_word + n; word++) {
        _tile_loadd(4, queries.bytes(word, query_tile), row_of_tile);
        _tile_loadd(6, codes_0 + word * tile_bytes, row_of_tile);
        _tile_loadd(5, queries.bytes(word, query_tile + 1), row_of_tile);
        _tile_loadd(7, codes_1 + word * tile_bytes, row_of_tile);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, out, stride);
    _tile_stored(1, out + side, stride);
    _tile_stored(2, lower, stride);
    _tile_stored(3, lower + side, stride);
}

class Products : public BatchKernel {
  public:
    bool serves(const Shape &shape, int64_t n_queries) const override {
        return shape.metric == ISOHASH_HAMMING && n_queries >= enough_queries;
    }
    int64_t block_rows(const Shape &shape) const override {
        const int64_t bytes_of_pair = 2 * tile_bytes * shape.words();
        return pair * std::clamp<int64_t>(block_target_bytes / bytes_of_pair, 2, 8);
    }
    int64_t group() const override { return 512; }
    int64_t distance_rows(int64_t n) const override { return padded(n); }
    int64_t prepared_queries_bytes(const Shape &shape, int64_t n) const override {
        return groups(n) * group_bytes(shape);
    }
    int64_t prepared_block_bytes(const Shape &shape, int64_t rows) const override {
        return rows / side * shape.words() * tile_bytes;
    }

    // Every group of queries has its own tiles, so that a group is one stretch of memory.
    void prepare_queries(const Shape &shape, const uint8_t *queries, int64_t n,
                         uint8_t *out) const override {
        const int64_t words = shape.words();
        const uint64_t *rows = reinterpret_cast<const uint64_t *>(queries);
        std::memset(out, 0, static_cast<size_t>(prepared_queries_bytes(shape, n)));
        for (int64_t i = 0; i < n; i++)
            widen_query(rows + i * words, words, i % group(), group() / side,
                        out + i / group() * group_bytes(shape));
    }

    void prepare_block(const Shape &shape, const uint8_t *codes, int64_t m,
                       uint8_t *out) const override {
        const int64_t words = shape.words();
        const uint64_t *rows = reinterpret_cast<const uint64_t *>(codes);
        alignas(64) uint64_t column[side];
        for (int64_t first = 0; first < padded(m); first += side)
            for (int64_t word = 0; word < words; word++, out += tile_bytes) {
                for (int64_t r = 0; r < side; r++) // the last code stands in for missing ones
                    column[r] = word_at(rows + std::min(first + r, m - 1) * words + word);
                widen_words(column, out);
            }
    }

    ISOHASH_AMX void run(const Shape &shape, const uint8_t *prepared, int64_t first, int64_t n,
                         const uint8_t *block, int64_t m, int32_t *out, int64_t ld,
                         const Interest *, uint64_t *) const override {
        const int64_t words = shape.words(), code_tile = words * tile_bytes;
        const Queries queries{prepared + first / group() * group_bytes(shape), group() / side};
        use_full_tiles();
        for (int64_t word = 0; word < words; word += chunks_per_slice) {
            const int64_t some = std::min(chunks_per_slice, words - word);
            for (int64_t code = 0; code < m; code += pair) {
                const uint8_t *tiles = block + code / side * code_tile;
                for (int64_t query = 0; query < n; query += pair)
                    add_words(queries, query / side, tiles, tiles + code_tile, word, some,
                              out + query * ld + code, ld);
            }
        }
        _tile_release();
        settle_memory();
    }

  private:
    int64_t groups(int64_t n) const { return (n + group() - 1) / group(); }
    int64_t group_bytes(const Shape &shape) const {
        return (1 + shape.words()) * (group() / side) * tile_bytes;
    }
};

// Linux grants the large tile registers on request, once per process.
bool granted() {
#ifdef ISOHASH_EMULATE
    return true;
#else
    constexpr int request_permission = 0x1023, tile_data = 18;
    static const bool ok = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    return ok;
#endif
}

// gcc 12 knows no name for AMX in __builtin_cpu_supports: leaf 7 of cpuid tells, in edx.
bool machine_has_it() {
#ifdef ISOHASH_EMULATE
    return true;
#else
    constexpr unsigned amx_tile = 1u << 24, amx_int8 = 1u << 25;
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    return (edx & amx_tile) && (edx & amx_int8) && __builtin_cpu_supports("avx512vbmi");
#endif
}

const Products products;

} // namespace

const Level *amx_level() {
    if (!avx512_level() || !machine_has_it() || !granted()) return nullptr;
    static const Level level = [] {
        Level all = *avx512_level();
        std::copy_backward(all.batches, all.batches + 4, all.batches + 5);
        all.batches[0] = &products;
        return all;
    }();
    return &level;
}

} // namespace isohash

#else

namespace isohash {
const Level *amx_level() { return nullptr; }
} // namespace isohash

#endif
