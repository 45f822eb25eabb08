// Symbols of unequal alphabets, looked up where they are stored.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include "isohash.h"
#include "search/pool.hpp"

namespace isohash {
namespace {

// A symbol of at most 16 bits, wherever it begins, lies in the four bytes from its first one on.
constexpr int64_t window_bytes = 4;
// Rows below this number are looked up by one thread: waking another costs more.
constexpr int64_t rows_worth_a_thread = 1024;

// Where a group of symbols is stored in a row, and the rows of symbols that it chooses from.
struct Group {
    int64_t byte;
    int shift;
    uint32_t mask;
    const uint16_t *symbols;
    int64_t span;
};

std::vector<Group> groups_of(const uint8_t *widths, const uint8_t *spans, int64_t n,
                             const uint16_t *values) {
    std::vector<Group> groups(static_cast<size_t>(n));
    int64_t bit = 0;
    for (int64_t g = 0; g < n; bit += widths[g], g++) {
        const int64_t size = int64_t{1} << widths[g];
        groups[static_cast<size_t>(g)] = {bit / 8,
                                          static_cast<int>(8 * window_bytes - bit % 8 - widths[g]),
                                          static_cast<uint32_t>(size - 1), values, spans[g]};
        values += size * spans[g];
    }
    return groups;
}

uint32_t window(const uint8_t *p) {
    return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

// Both read up to three bytes beyond the row.
uint32_t index_in(const uint8_t *row, const Group &group) {
    return window(row + group.byte) >> group.shift & group.mask;
}

uint16_t *look_up(const std::vector<Group> &groups, const uint8_t *row, uint16_t *out) {
    for (const Group &group : groups) {
        const uint16_t *symbols = group.symbols + index_in(row, group) * group.span;
        for (int64_t i = 0; i < group.span; i++) *out++ = symbols[i];
    }
    return out;
}

// Where every group is one symbol.
uint16_t *look_up_single(const std::vector<Group> &groups, const uint8_t *row, uint16_t *out) {
    for (const Group &group : groups) *out++ = group.symbols[index_in(row, group)];
    return out;
}

using LookUp = uint16_t *(*)(const std::vector<Group> &, const uint8_t *, uint16_t *);

struct Packed {
    const uint8_t *rows;
    int64_t n, row_bytes;
};

// The symbols of rows [first, last).
void look_up_rows(const std::vector<Group> &groups, LookUp look_up, const Packed &packed,
                  int64_t first, int64_t last, uint16_t *out) {
    std::vector<uint8_t> padded(static_cast<size_t>(packed.row_bytes + window_bytes));
    for (int64_t i = first; i < last; i++) {
        const uint8_t *row = packed.rows + i * packed.row_bytes;
        if ((packed.n - i - 1) * packed.row_bytes < window_bytes - 1) { // the bytes end too early
            std::memcpy(padded.data(), row, static_cast<size_t>(packed.row_bytes));
            row = padded.data();
        }
        out = look_up(groups, row, out);
    }
}

bool look_up_all(const std::vector<Group> &groups, const Packed &packed, int64_t parts,
                 uint16_t *out) {
    int64_t length = 0;
    for (const Group &group : groups) length += group.span;
    const bool single = length == static_cast<int64_t>(groups.size());
    std::atomic<bool> enough{true};
    run_parallel(parts, [&](int64_t part) {
        const int64_t first = packed.n * part / parts, last = packed.n * (part + 1) / parts;
        try {
            look_up_rows(groups, single ? look_up_single : look_up, packed, first, last,
                         out + first * length);
        } catch (const std::bad_alloc &) {
            enough = false;
        }
    });
    return enough;
}

} // namespace
} // namespace isohash

int isohash_symbols(const uint8_t *packed, int64_t n, int64_t row_bytes, const uint8_t *widths,
                    const uint8_t *spans, int64_t n_groups, const uint16_t *values, int32_t threads,
                    uint16_t *symbols) {
    try {
        const auto groups = isohash::groups_of(widths, spans, n_groups, values);
        const int64_t worth = n / isohash::rows_worth_a_thread;
        const int64_t parts = std::min<int64_t>(threads, std::max<int64_t>(1, worth));
        return isohash::look_up_all(groups, {packed, n, row_bytes}, parts, symbols) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}
