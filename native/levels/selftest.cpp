// Compares every level of this build with the scalar level, over widths, sizes, k and threads.
// For machines where the Python tests do not run: cross-compiled, or under an emulator.
// Prints one line per level; the exit status is the number of levels that failed.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "isohash.h"

namespace {

struct Kind {
    isohash_metric metric;
    int32_t q, scale, symbol_bits = 8;
};

constexpr Kind kinds[] = {{ISOHASH_HAMMING, 2, 1, 1},
                          {ISOHASH_HAMMING, 2, 2, 1},
                          {ISOHASH_LEE, 5, 1},
                          {ISOHASH_LEE, 16, 1},
                          {ISOHASH_LEE, 255, 1},
                          {ISOHASH_LEE, 256, 1},
                          {ISOHASH_SQUARED_LEE, 16, 1},
                          {ISOHASH_SQUARED_LEE, 17, 1},
                          {ISOHASH_SQUARED_LEE, 256, 1},
                          {ISOHASH_DIFFERENT, 10, 1},
                          {ISOHASH_DIFFERENT, 256, 1},
                          {ISOHASH_LEE, 16, 1, 4},
                          {ISOHASH_SQUARED_LEE, 16, 1, 4},
                          {ISOHASH_DIFFERENT, 16, 1, 4},
                          {ISOHASH_ABSOLUTE, 256, 1},
                          {ISOHASH_ABSOLUTE, 16, 1, 4},
                          {ISOHASH_SQUARED, 256, 1},
                          {ISOHASH_SQUARED, 16, 1},
                          {ISOHASH_SQUARED, 16, 1, 4},
                          {ISOHASH_LEE, 4000, 1, 16},
                          {ISOHASH_SQUARED_LEE, 1001, 1, 16},
                          {ISOHASH_DIFFERENT, 999, 1, 16},
                          {ISOHASH_ABSOLUTE, 32768, 1, 16},
                          {ISOHASH_SQUARED, 2600, 1, 16}};
constexpr int64_t widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 100, 160};

// Random rows with many ties: few different symbols in most of them, and repeated rows.
std::vector<uint8_t> rows_of(std::mt19937 &random, const Kind &kind, int64_t n, int64_t row_bytes) {
    std::vector<uint8_t> rows(static_cast<size_t>(n * row_bytes));
    const bool full = kind.metric == ISOHASH_HAMMING || kind.symbol_bits == 4;
    const uint32_t values = full ? 256 : static_cast<uint32_t>(kind.q);
    if (kind.symbol_bits < 16)
        for (uint8_t &value : rows) value = static_cast<uint8_t>(random() % values);
    else
        for (size_t i = 0; i < rows.size(); i += 2) {
            const uint16_t symbol = static_cast<uint16_t>(random() % values);
            std::memcpy(&rows[i], &symbol, sizeof symbol);
        }
    for (int64_t i = 1; i < n; i += 3)
        std::copy_n(rows.begin() + (i - 1) * row_bytes, row_bytes, rows.begin() + i * row_bytes);
    return rows;
}

struct Answers {
    std::vector<int32_t> distances, matrix, least, near;
    std::vector<int64_t> positions, offsets, near_positions;

    bool operator==(const Answers &other) const {
        return distances == other.distances && matrix == other.matrix && least == other.least &&
               near == other.near && positions == other.positions && offsets == other.offsets &&
               near_positions == other.near_positions;
    }
};

Answers answers_of(isohash_scan scan, int level, int threads, int64_t k) {
    scan.level = level;
    scan.threads = threads;
    Answers out;
    out.distances.resize(static_cast<size_t>(scan.n_queries * k));
    out.positions.resize(out.distances.size());
    isohash_topk(&scan, k, out.distances.data(), out.positions.data());
    out.matrix.resize(static_cast<size_t>(scan.n_queries * scan.n_codes));
    isohash_matrix(&scan, out.matrix.data());

    // Cases of every size, one of them empty.
    const int64_t n = scan.n_codes, start[] = {0, 1, n / 3, n / 3, n - 2, n};
    out.least.resize(static_cast<size_t>(scan.n_queries) * 5);
    isohash_least(&scan, start, 5, out.least.data());

    isohash_found *found = isohash_within(&scan, out.matrix[out.matrix.size() / 2]);
    const size_t total = static_cast<size_t>(isohash_found_total(found));
    out.offsets.resize(static_cast<size_t>(scan.n_queries) + 1);
    out.near.resize(total);
    out.near_positions.resize(total);
    isohash_found_copy(found, out.offsets.data(), out.near.data(), out.near_positions.data());
    isohash_found_free(found);
    return out;
}

int64_t failures(int level, const Kind &kind, int64_t width, int64_t n_queries, int64_t n_codes) {
    std::mt19937 random(static_cast<uint32_t>(width * 1000 + n_queries + n_codes));
    isohash_scan scan{};
    scan.metric = kind.metric;
    scan.q = kind.q;
    scan.scale = kind.scale;
    scan.symbol_bits = kind.symbol_bits;
    scan.row_bytes = width * (kind.metric == ISOHASH_HAMMING ? 8 : kind.symbol_bits == 16 ? 2 : 1);
    const auto queries = rows_of(random, kind, n_queries, scan.row_bytes);
    const auto codes = rows_of(random, kind, n_codes, scan.row_bytes);
    std::vector<uint8_t> allowed(static_cast<size_t>(n_codes));
    for (size_t i = 0; i < allowed.size(); i++) allowed[i] = i % 5 != 2;
    scan.queries = queries.data();
    scan.n_queries = n_queries;
    scan.codes = codes.data();
    scan.n_codes = n_codes;

    int64_t failed = 0;
    for (const int64_t k : {int64_t{1}, std::min<int64_t>(10, n_codes / 2), n_codes / 2})
        for (const uint8_t *mask : {static_cast<const uint8_t *>(nullptr),
                                    static_cast<const uint8_t *>(allowed.data())}) {
            scan.allowed = mask;
            const Answers expected = answers_of(scan, ISOHASH_SCALAR, 1, k);
            for (const int threads : {1, 3})
                failed += !(answers_of(scan, level, threads, k) == expected);
        }
    return failed;
}

// Every kind and width.
int64_t failures_of_all(int level) {
    int64_t failed = 0;
    for (const Kind &kind : kinds)
        for (const int64_t width : widths) {
            failed += failures(level, kind, width, 1, 83);
            failed += failures(level, kind, width, 9, 141);
            failed += failures(level, kind, width, 67, 33);
        }
    return failed;
}

// Enough work for threads to share the codes, and to share the queries.
int64_t failures_of_threads(int level) {
    return failures(level, kinds[0], 160, 1, 6000) + failures(level, kinds[0], 32, 30, 1000);
}

} // namespace

// With an argument, whatever it is, only what threads share is looked at.
int main(int n_arguments, char **) {
    const char *const names[] = {"scalar", "avx2", "avx512", "amx", "neon"};
    int failed_levels = 0;
    for (int level = 0; level < ISOHASH_N_LEVELS; level++) {
        if (isohash_level_status(level) == ISOHASH_ABSENT) {
            std::printf("%s: absent\n", names[level]);
            continue;
        }
        int64_t failed = isohash_level_status(level) != ISOHASH_READY;
        failed += failures_of_threads(level);
        if (n_arguments == 1) failed += failures_of_all(level);
        std::printf("%s: %lld failed\n", names[level], static_cast<long long>(failed));
        failed_levels += failed != 0;
    }
    return failed_levels;
}
