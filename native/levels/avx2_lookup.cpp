// Batches of bits and of small symbols on the AVX2 level.
//
// Codes are turned on their side: one vector holds the same 4-bit symbol of 32 codes, and what the
// query's symbol costs against each of the 16 possible symbols is a table that fits one register.
// A lookup then yields 32 distances, no sums across a vector are needed, and the same kernel
// serves bits and symbols of any metric with at most 16 symbols.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "levels/avx2.hpp"

namespace isohash {
namespace {

using namespace avx2;
constexpr int64_t lane = 16;       // entries of a table, rows of a transpose
constexpr int64_t set_vectors = 4; // vectors of codes that share a table's load
constexpr int64_t set_rows = set_vectors * vector_bytes;
constexpr int64_t block_target_bytes = 32 << 10; // of rearranged codes
constexpr int64_t positions_per_chunk = 128;     // 16 KB of rearranged codes: half of the cache
constexpr int64_t table_bytes = lane * lane;

// Bits are looked up four at a time: a byte of them is two symbols of sixteen.
bool two_a_byte(const Shape &shape) { return shape.symbol_bits <= 4; }

int64_t positions_of(const Shape &shape) {
    return two_a_byte(shape) ? 2 * shape.row_bytes : shape.row_bytes;
}

// What two 4-bit symbols cost.
int32_t step_of(const Shape &shape, int32_t a, int32_t b) {
    if (shape.metric == ISOHASH_HAMMING) return __builtin_popcount(static_cast<unsigned>(a ^ b));
    if (shape.metric == ISOHASH_DIFFERENT) return a != b;
    const int32_t d = std::abs(a - b), lee = std::min(d, std::abs(shape.q - d));
    switch (shape.metric) {
    case ISOHASH_LEE: return lee;
    case ISOHASH_SQUARED_LEE: return lee * lee;
    case ISOHASH_ABSOLUTE: return d;
    default: return d * d;
    }
}

int32_t largest_step(const Shape &shape) {
    switch (shape.metric) {
    case ISOHASH_HAMMING: return 4;
    case ISOHASH_LEE: return shape.q / 2;
    case ISOHASH_SQUARED_LEE: return (shape.q / 2) * (shape.q / 2);
    case ISOHASH_ABSOLUTE: return shape.q - 1;
    case ISOHASH_SQUARED: return (shape.q - 1) * (shape.q - 1);
    default: return 1;
    }
}

// Transposes 16 x 16 bytes in each half: row r of half h becomes column r of half h.
ISOHASH_AVX2 inline void transpose_halves(Vector rows[lane]) {
    for (int round = 0; round < 4; round++) {
        Vector shuffled[lane];
        for (int i = 0; i < 8; i++) {
            shuffled[2 * i] = _mm256_unpacklo_epi8(rows[i], rows[i + 8]);
            shuffled[2 * i + 1] = _mm256_unpackhi_epi8(rows[i], rows[i + 8]);
        }
        std::copy(shuffled, shuffled + lane, rows);
    }
}

// 16 bytes of a row from `column` on, zero-padded past its end.
ISOHASH_AVX2 inline __m128i piece_of_row(const uint8_t *row, int64_t column, int64_t row_bytes) {
    if (column + lane <= row_bytes)
        return _mm_loadu_si128(reinterpret_cast<const __m128i *>(row + column));
    alignas(16) uint8_t pad[lane] = {};
    std::memcpy(pad, row + column, static_cast<size_t>(row_bytes - column));
    return _mm_load_si128(reinterpret_cast<const __m128i *>(pad));
}

// Columns [column, column + 16) of 32 rows, of which m exist (the last stands in for the others):
// vector c then holds byte `column + c` of every row.
ISOHASH_AVX2 inline void load_columns(const uint8_t *codes, int64_t m, int64_t row_bytes,
                                      int64_t column, Vector columns[lane]) {
    for (int64_t r = 0; r < lane; r++) {
        const uint8_t *low = codes + std::min(r, m - 1) * row_bytes;
        const uint8_t *high = codes + std::min(r + lane, m - 1) * row_bytes;
        columns[r] = _mm256_set_m128i(piece_of_row(high, column, row_bytes),
                                      piece_of_row(low, column, row_bytes));
    }
    transpose_halves(columns);
}

// Rearranges up to 32 codes: symbol p of all of them goes to out + p * stride.
ISOHASH_AVX2 void lay_on_side(const Shape &shape, const uint8_t *codes, int64_t m, uint8_t *out,
                              int64_t stride) {
    const bool halves = two_a_byte(shape);
    for (int64_t column = 0; column < shape.row_bytes; column += lane) {
        Vector columns[lane];
        load_columns(codes, m, shape.row_bytes, column, columns);
        const int64_t n = std::min(lane, shape.row_bytes - column);
        for (int64_t c = 0; c < n; c++) {
            if (halves) {
                _mm256_store_si256(reinterpret_cast<Vector *>(out), low_nibbles(columns[c]));
                out += stride;
                _mm256_store_si256(reinterpret_cast<Vector *>(out), high_nibbles(columns[c]));
            } else {
                _mm256_store_si256(reinterpret_cast<Vector *>(out), columns[c]);
            }
            out += stride;
        }
    }
}

// Distances of 32 codes, as 16-bit sums of the even and of the odd bytes.
struct WideSums {
    Vector even, odd;
};

ISOHASH_AVX2 inline void widen(WideSums &sums, Vector bytes) {
    const Vector low = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
    sums.even = _mm256_add_epi16(sums.even, low);
    sums.odd = _mm256_add_epi16(sums.odd, _mm256_srli_epi16(bytes, 8));
}

// Adds (or, at first, writes) 32 sums to 32 distances.
ISOHASH_AVX2 inline void store_sums(const WideSums &sums, int32_t *out, bool add) {
    const Vector low = _mm256_unpacklo_epi16(sums.even, sums.odd);  // codes 0-7 and 16-23
    const Vector high = _mm256_unpackhi_epi16(sums.even, sums.odd); // codes 8-15 and 24-31
    const __m128i in_order[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                                 _mm256_extracti128_si256(low, 1),
                                 _mm256_extracti128_si256(high, 1)};
    Vector *place = reinterpret_cast<Vector *>(out);
    for (int i = 0; i < 4; i++) {
        Vector eight = _mm256_cvtepu16_epi32(in_order[i]);
        if (add) eight = _mm256_add_epi32(eight, _mm256_load_si256(place + i));
        _mm256_store_si256(place + i, eight);
    }
}

// Stops gcc from loading the same vector again for every use, and from copying sums about.
ISOHASH_AVX2 inline void keep_in_register(Vector &v) { asm("" : "+x"(v)); }

// A stretch of positions of one set of codes, and how to look them up.
struct Stretch {
    const uint8_t *set;    // symbols of the first position, set_rows bytes a position
    int64_t n;             // positions
    int64_t per_byte;      // lookups whose sum fits a byte
    const uint8_t *tables; // 16 tables of 16
};

// Distances of `n_queries` queries to one set over one stretch. offsets[i] leads to query i's
// table at each position.
template <int n_queries>
ISOHASH_AVX2 inline void look_up(const Stretch &stretch, const uint8_t *const offsets[n_queries],
                                 int32_t *const out[n_queries], bool add) {
    WideSums sums[n_queries][set_vectors];
    for (int i = 0; i < n_queries; i++)
#pragma GCC unroll 4
        for (int v = 0; v < set_vectors; v++)
            sums[i][v].even = sums[i][v].odd = _mm256_setzero_si256();
    for (int64_t p = 0; p < stretch.n;) {
        Vector bytes[n_queries][set_vectors];
        for (auto &row : bytes)
            for (Vector &v : row) v = _mm256_setzero_si256();
        for (const int64_t end = std::min(stretch.n, p + stretch.per_byte); p < end; p++) {
            const Vector *codes = reinterpret_cast<const Vector *>(stretch.set + p * set_rows);
            Vector table[n_queries];
            for (int i = 0; i < n_queries; i++)
                table[i] = _mm256_broadcastsi128_si256(_mm_load_si128(
                    reinterpret_cast<const __m128i *>(stretch.tables + offsets[i][p])));
#pragma GCC unroll 4
            for (int v = 0; v < set_vectors; v++) {
                Vector symbols = _mm256_load_si256(codes + v);
                keep_in_register(symbols);
                for (int i = 0; i < n_queries; i++) {
                    bytes[i][v] =
                        _mm256_add_epi8(bytes[i][v], _mm256_shuffle_epi8(table[i], symbols));
                    keep_in_register(bytes[i][v]);
                }
            }
        }
        for (int i = 0; i < n_queries; i++)
            for (int v = 0; v < set_vectors; v++) widen(sums[i][v], bytes[i][v]);
    }
    for (int i = 0; i < n_queries; i++)
        for (int v = 0; v < set_vectors; v++)
            store_sums(sums[i][v], out[i] + v * vector_bytes, add);
}

class Lookup : public BatchKernel {
  public:
    bool serves(const Shape &shape, int64_t n_queries) const override {
        constexpr int64_t enough_to_pay_for_rearranging = 8;
        return (shape.metric == ISOHASH_HAMMING || (shape.q <= lane && shape.symbol_bits <= 8)) &&
               n_queries >= enough_to_pay_for_rearranging;
    }
    int64_t block_rows(const Shape &shape) const override {
        const int64_t sets = block_target_bytes / (positions_of(shape) * set_rows);
        return set_rows * std::clamp<int64_t>(sets, 1, 16);
    }
    int64_t group() const override { return 64; }

    // The tables, then per query the offset of the table to use at each position.
    int64_t prepared_queries_bytes(const Shape &shape, int64_t n) const override {
        return table_bytes + n * positions_of(shape);
    }
    int64_t prepared_block_bytes(const Shape &shape, int64_t rows) const override {
        return rows * positions_of(shape);
    }

    void prepare_queries(const Shape &shape, const uint8_t *queries, int64_t n,
                         uint8_t *out) const override {
        for (int32_t a = 0; a < lane; a++)
            for (int32_t b = 0; b < lane; b++) *out++ = static_cast<uint8_t>(step_of(shape, a, b));
        for (int64_t i = 0; i < n * shape.row_bytes; i++) {
            *out++ = static_cast<uint8_t>(queries[i] << 4);
            if (two_a_byte(shape)) *out++ = queries[i] & 0xf0;
        }
    }

    void prepare_block(const Shape &shape, const uint8_t *codes, int64_t m,
                       uint8_t *out) const override {
        const int64_t set_bytes = set_rows * positions_of(shape);
        for (int64_t row = 0; row < m; row += vector_bytes) {
            uint8_t *place = out + row / set_rows * set_bytes + row % set_rows;
            lay_on_side(shape, codes + row * shape.row_bytes, std::min(vector_bytes, m - row),
                        place, set_rows);
        }
    }

    void run(const Shape &shape, const uint8_t *queries, int64_t first, int64_t n,
             const uint8_t *block, int64_t m, int32_t *out, int64_t ld, const Interest *,
             uint64_t *) const override {
        const int64_t positions = positions_of(shape);
        const uint8_t *offsets = queries + table_bytes + first * positions;
        const int64_t per_byte = 255 / std::max(1, largest_step(shape));
        for (int64_t row = 0; row < m; row += set_rows, block += set_rows * positions)
            for (int64_t p = 0; p < positions; p += positions_per_chunk) {
                const Stretch stretch{block + p * set_rows,
                                      std::min(positions_per_chunk, positions - p), per_byte,
                                      queries};
                run_stretch(stretch, offsets + p, positions, n, out + row, ld, p > 0);
            }
    }

  private:
    // 128 positions of steps up to 225 (16 symbols, squared) fit the 16-bit sums.
    ISOHASH_AVX2 static void run_stretch(const Stretch &stretch, const uint8_t *offsets,
                                         int64_t positions, int64_t n, int32_t *out, int64_t ld,
                                         bool add) {
        int64_t i = 0;
        for (; i + 2 <= n; i += 2) {
            const uint8_t *const pair[2] = {offsets + i * positions, offsets + (i + 1) * positions};
            int32_t *const rows[2] = {out + i * ld, out + (i + 1) * ld};
            look_up<2>(stretch, pair, rows, add);
        }
        if (i < n) {
            const uint8_t *const one[1] = {offsets + i * positions};
            int32_t *const row[1] = {out + i * ld};
            look_up<1>(stretch, one, row, add);
        }
    }
};

const Lookup lookup;

} // namespace

const BatchKernel *avx2_lookup() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") ? &lookup : nullptr;
}

} // namespace isohash

#else

namespace isohash {
const BatchKernel *avx2_lookup() { return nullptr; }
} // namespace isohash

#endif
