// Batches of squared differences as scalar products: (a - b)^2 = a^2 + b^2 - 2 a b.
//
// One VNNI instruction multiplies and adds 64 products of bytes or 32 of words, where differences
// need four and more. The squares are summed once per code and per query. Bytes of a query are
// taken as b - 128, since the instruction wants one signed factor:
// sum a b = sum a (b - 128) + 128 sum a. All sums are modulo 2^32, and distances fit.

#include "levels/kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <algorithm>
#include <cstring>

#include "levels/avx512.hpp"

#define ISOHASH_VNNI                                                                               \
    ISOHASH_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx512vnni,popcnt")

namespace isohash {
namespace {

constexpr int64_t tile = 4; // queries and codes per tile
constexpr int64_t block_target_bytes = 24 << 10;

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Rows as the products want them: padded with zeros to whole vectors, then a constant for each.
struct Rows {
    uint8_t *data;
    int64_t n, width;

    Rows(const Shape &shape, uint8_t *place, int64_t capacity)
        : data(place), n(capacity), width(padded(shape.row_bytes, vector_bytes)) {}

    uint8_t *row(int64_t i) const { return data + i * width; }
    uint32_t *constants() const { return reinterpret_cast<uint32_t *>(data + n * width); }
    int64_t bytes() const { return n * (width + static_cast<int64_t>(sizeof(uint32_t))); }
};

struct Sums {
    uint32_t plain = 0, squares = 0;
};

Sums sums_of(const Shape &shape, const uint8_t *row) {
    Sums all;
    for (int64_t j = 0; j < shape.row_bytes; j += shape.symbol_bits / 8) {
        uint16_t symbol = row[j];
        if (shape.symbol_bits == 16) std::memcpy(&symbol, row + j, sizeof symbol);
        all.plain += symbol;
        all.squares += static_cast<uint32_t>(symbol) * symbol;
    }
    return all;
}

template <bool bytes>
ISOHASH_VNNI inline Vector add_products(Vector sum, Vector code, Vector query) {
    return bytes ? _mm512_dpbusd_epi32(sum, code, query) : _mm512_dpwssd_epi32(sum, code, query);
}

// Distances of four queries to four codes.
template <bool bytes>
ISOHASH_VNNI void square_tile(const Rows &queries, int64_t query, const Rows &codes, int64_t code,
                              int32_t *out, int64_t ld) {
    Vector sums[tile * tile];
#pragma GCC unroll 16
    for (int i = 0; i < tile * tile; i++) sums[i] = _mm512_setzero_si512();
    for (int64_t j = 0; j < codes.width; j += vector_bytes) {
        Vector x[tile];
#pragma GCC unroll 4
        for (int c = 0; c < tile; c++) x[c] = load(codes.row(code + c) + j);
#pragma GCC unroll 4
        for (int r = 0; r < tile; r++) {
            const Vector y = load(queries.row(query + r) + j);
#pragma GCC unroll 4
            for (int c = 0; c < tile; c++)
                sums[r * tile + c] = add_products<bytes>(sums[r * tile + c], x[c], y);
        }
    }
    const __m256i of_codes = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i *>(codes.constants() + code)));
#pragma GCC unroll 2
    for (int r = 0; r < tile; r += 2) {
        const uint32_t *of_query = queries.constants() + query + r;
        const __m256i constants = _mm256_add_epi32(
            of_codes, _mm256_set_m128i(_mm_set1_epi32(static_cast<int>(of_query[1])),
                                       _mm_set1_epi32(static_cast<int>(of_query[0]))));
        const __m256i products = eight_totals(sums + r * tile);
        const __m256i distances = _mm256_sub_epi32(constants, _mm256_add_epi32(products, products));
        int32_t *row = out + r * ld;
        _mm_storeu_si128(reinterpret_cast<__m128i *>(row), _mm256_castsi256_si128(distances));
        _mm_storeu_si128(reinterpret_cast<__m128i *>(row + ld),
                         _mm256_extracti128_si256(distances, 1));
    }
}

class Squares : public BatchKernel {
  public:
    bool serves(const Shape &shape, int64_t n_queries) const override {
        return shape.metric == ISOHASH_SQUARED && shape.symbol_bits >= 8 && n_queries >= tile;
    }
    int64_t block_rows(const Shape &shape) const override {
        return std::clamp<int64_t>(block_target_bytes / shape.row_bytes / 16 * 16, 16, 2048);
    }
    int64_t group() const override { return 64; }
    int64_t distance_rows(int64_t n) const override { return padded(n, tile); }
    int64_t prepared_queries_bytes(const Shape &shape, int64_t n) const override {
        return (n + group() - 1) / group() * Rows(shape, nullptr, group()).bytes();
    }
    int64_t prepared_block_bytes(const Shape &shape, int64_t rows) const override {
        return Rows(shape, nullptr, rows).bytes();
    }

    // Every group of queries has its own rows and constants.
    void prepare_queries(const Shape &shape, const uint8_t *queries, int64_t n,
                         uint8_t *out) const override {
        std::memset(out, 0, static_cast<size_t>(prepared_queries_bytes(shape, n)));
        for (int64_t i = 0; i < n; i++, queries += shape.row_bytes) {
            const Rows rows = group_of(shape, out, i);
            uint8_t *row = rows.row(i % group());
            std::memcpy(row, queries, static_cast<size_t>(shape.row_bytes));
            if (shape.symbol_bits == 8)
                for (int64_t j = 0; j < shape.row_bytes; j++) row[j] ^= 0x80;
            rows.constants()[i % group()] = sums_of(shape, queries).squares;
        }
    }

    void prepare_block(const Shape &shape, const uint8_t *codes, int64_t m,
                       uint8_t *out) const override {
        const Rows rows(shape, out, block_rows(shape));
        for (int64_t i = 0; i < padded(m, tile); i++) {
            const uint8_t *code = codes + std::min(i, m - 1) * shape.row_bytes;
            std::memcpy(rows.row(i), code, static_cast<size_t>(shape.row_bytes));
            std::memset(rows.row(i) + shape.row_bytes, 0,
                        static_cast<size_t>(rows.width - shape.row_bytes));
            const Sums sums = sums_of(shape, code);
            rows.constants()[i] = sums.squares - (shape.symbol_bits == 8 ? 256 * sums.plain : 0);
        }
    }

    void run(const Shape &shape, const uint8_t *queries, int64_t first, int64_t n,
             const uint8_t *block, int64_t m, int32_t *out, int64_t ld, const Interest *,
             uint64_t *) const override {
        const Rows wanted = group_of(shape, const_cast<uint8_t *>(queries), first);
        const Rows codes(shape, const_cast<uint8_t *>(block), block_rows(shape));
        const auto each = shape.symbol_bits == 8 ? square_tile<true> : square_tile<false>;
        for (int64_t code = 0; code < m; code += tile)
            for (int64_t query = 0; query < n; query += tile)
                each(wanted, query, codes, code, out + query * ld + code, ld);
    }

  private:
    // The rows of the group that query `i` belongs to.
    Rows group_of(const Shape &shape, uint8_t *place, int64_t i) const {
        const int64_t bytes = Rows(shape, nullptr, group()).bytes();
        return Rows(shape, place + i / group() * bytes, group());
    }
};

const Squares squares;

bool machine_has_it() {
#ifdef ISOHASH_EMULATE
    return true;
#else
    return __builtin_cpu_supports("avx512vnni");
#endif
}

} // namespace

const BatchKernel *avx512_squares() { return machine_has_it() ? &squares : nullptr; }

} // namespace isohash

#endif
