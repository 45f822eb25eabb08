// Which levels this machine offers. A level answers only after it has agreed with the scalar level
// on random codes, so a kernel that this build's authors never saw run cannot give a wrong answer.

#include <array>
#include <cstring>
#include <mutex>
#include <random>
#include <vector>

#include "isohash.h"
#include "levels/kernels.hpp"

namespace isohash {

const Level *level_by_number(int level) {
    switch (level) {
    case ISOHASH_SCALAR: return scalar_level();
    case ISOHASH_AVX2: return avx2_level();
    case ISOHASH_AVX512: return avx512_level();
    case ISOHASH_AMX: return amx_level();
    case ISOHASH_NEON: return neon_level();
    default: return nullptr;
    }
}

namespace {

// One comparison of a level with the scalar level.
struct Trial {
    isohash_metric metric;
    int32_t q;
    int64_t row_bytes;
    int32_t symbol_bits = 8;
};

// Widths around every vector size, both even and odd alphabets, and the extremes of each metric.
constexpr Trial trials[] = {
    {ISOHASH_HAMMING, 2, 8, 1},
    {ISOHASH_HAMMING, 2, 56, 1},
    {ISOHASH_HAMMING, 2, 64, 1},
    {ISOHASH_HAMMING, 2, 136, 1},
    {ISOHASH_HAMMING, 2, 512, 1},
    {ISOHASH_HAMMING, 2, 1288, 1},
    {ISOHASH_LEE, 10, 130},
    {ISOHASH_LEE, 17, 65},
    {ISOHASH_LEE, 256, 1030},
    {ISOHASH_LEE, 16, 67, 4},
    {ISOHASH_SQUARED_LEE, 16, 67},
    {ISOHASH_SQUARED_LEE, 16, 530, 4},
    {ISOHASH_SQUARED_LEE, 50, 96},
    {ISOHASH_SQUARED_LEE, 255, 1030},
    {ISOHASH_DIFFERENT, 10, 200},
    {ISOHASH_SQUARED_LEE, 256, 1030},
    {ISOHASH_DIFFERENT, 16, 70, 4},
    {ISOHASH_DIFFERENT, 256, 1030},
    {ISOHASH_ABSOLUTE, 256, 200},
    {ISOHASH_ABSOLUTE, 16, 70, 4},
    {ISOHASH_SQUARED, 256, 1030},
    {ISOHASH_SQUARED, 16, 530, 4},
    {ISOHASH_LEE, 32767, 130, 16},
    {ISOHASH_SQUARED_LEE, 4096, 134, 16},
    {ISOHASH_SQUARED, 2634, 256, 16},
    {ISOHASH_DIFFERENT, 4096, 66, 16},
    {ISOHASH_ABSOLUTE, 32768, 194, 16},
    {ISOHASH_SQUARED, 2634, 330, 16},
    {ISOHASH_SQUARED, 32768, 2, 16},
};

std::vector<uint8_t> random_rows(std::mt19937 &random, const Trial &trial, int64_t n) {
    std::vector<uint8_t> rows(static_cast<size_t>(n * trial.row_bytes));
    const bool full = trial.metric == ISOHASH_HAMMING || trial.symbol_bits == 4;
    const uint32_t values = full ? 256 : static_cast<uint32_t>(trial.q);
    if (trial.symbol_bits < 16)
        for (uint8_t &value : rows) value = static_cast<uint8_t>(random() % values);
    else
        for (size_t i = 0; i < rows.size(); i += 2) {
            const uint16_t symbol = static_cast<uint16_t>(random() % values);
            std::memcpy(&rows[i], &symbol, sizeof symbol);
        }
    return rows;
}

std::vector<int32_t> matrix_by(int level, const Trial &trial, const std::vector<uint8_t> &queries,
                               const std::vector<uint8_t> &codes) {
    isohash_scan scan{};
    scan.metric = trial.metric;
    scan.q = trial.q;
    scan.scale = 1;
    scan.level = level;
    scan.threads = 1;
    scan.symbol_bits = trial.symbol_bits;
    scan.row_bytes = trial.row_bytes;
    scan.queries = queries.data();
    scan.n_queries = static_cast<int64_t>(queries.size()) / trial.row_bytes;
    scan.codes = codes.data();
    scan.n_codes = static_cast<int64_t>(codes.size()) / trial.row_bytes;
    std::vector<int32_t> out(static_cast<size_t>(scan.n_queries * scan.n_codes));
    isohash_matrix(&scan, out.data());
    return out;
}

bool finds_the_same(const Level &level, const std::vector<int32_t> &distances) {
    const int64_t n = static_cast<int64_t>(distances.size());
    const int32_t limit = distances[distances.size() / 2];
    for (int64_t start = 0; start < n; start += 7)
        if (level.find_below(distances.data(), start, n, limit) !=
            scalar_level()->find_below(distances.data(), start, n, limit))
            return false;
    // each number of lanes that a vector leaves over, and some of the long ones
    for (int64_t m = 1; m <= n; m += m < 130 ? 1 : 61)
        if (level.least(distances.data(), m) != scalar_level()->least(distances.data(), m))
            return false;
    return true;
}

bool agrees_with_scalar(int number) {
    constexpr int64_t n_codes = 37; // odd, and more than any vector holds
    std::mt19937 random(20260101);
    for (const Trial &trial : trials) {
        const std::vector<uint8_t> codes = random_rows(random, trial, n_codes);
        const int64_t batch = trial.metric == ISOHASH_HAMMING ? 67 : 9; // enough for every kernel
        for (const int64_t n_queries : {int64_t{1}, batch}) {
            const std::vector<uint8_t> queries = random_rows(random, trial, n_queries);
            const auto expected = matrix_by(ISOHASH_SCALAR, trial, queries, codes);
            if (matrix_by(number, trial, queries, codes) != expected) return false;
            if (!finds_the_same(*level_by_number(number), expected)) return false;
        }
    }
    return true;
}

isohash_status find_status(int number) {
    if (!level_by_number(number)) return ISOHASH_ABSENT;
    if (number == ISOHASH_SCALAR || agrees_with_scalar(number)) return ISOHASH_READY;
    return ISOHASH_WRONG;
}

} // namespace
} // namespace isohash

int isohash_level_status(int level) {
    static std::array<std::once_flag, ISOHASH_N_LEVELS> checked;
    static std::array<isohash_status, ISOHASH_N_LEVELS> status;
    if (level < 0 || level >= ISOHASH_N_LEVELS) return ISOHASH_ABSENT;
    const size_t i = static_cast<size_t>(level);
    std::call_once(checked[i], [&] { status[i] = isohash::find_status(level); });
    return status[i];
}
