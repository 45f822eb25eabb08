// What a level of the engine consists of: distance kernels over plain rows.
//
// A direct kernel compares one query with consecutive codes; it serves single queries, where the
// memory is the limit. A batch kernel may first rearrange queries and a cache-sized block of
// codes, which pays when many queries meet the same block.
#pragma once

#include <cstdint>
#include <cstring>

#include "isohash.h"

#if defined(__GNUC__)
#define ISOHASH_INLINE inline __attribute__((always_inline))
#else
#define ISOHASH_INLINE inline
#endif

namespace isohash {

// A word of a row. Rows of a mapped file may begin anywhere.
inline uint64_t word_at(const uint64_t *place) {
    uint64_t word;
    std::memcpy(&word, place, sizeof word);
    return word;
}

// The number of the lowest set bit of x, which is not 0.
inline int lowest_bit(uint64_t x) {
#if defined(__GNUC__)
    return __builtin_ctzll(x);
#else
    int number = 0;
    for (; !(x & 1); x >>= 1) number++;
    return number;
#endif
}

struct Shape {
    isohash_metric metric;
    int64_t row_bytes;
    int32_t q;
    int32_t symbol_bits;

    int64_t words() const { return row_bytes / 8; }
};

// Distances from one query to m consecutive codes.
using DirectKernel = void (*)(const Shape &shape, const uint8_t *query, const uint8_t *codes,
                              int64_t m, int32_t *out);

// The first i in [start, m) with distances[i] < limit, or m.
using FindBelow = int64_t (*)(const int32_t *distances, int64_t start, int64_t m, int32_t limit);

// The least of m distances, m >= 1.
using Least = int32_t (*)(const int32_t *distances, int64_t m);

// As a plain loop, which becomes vectors of the level into whose function it is inlined.
ISOHASH_INLINE int32_t least_of(const int32_t *distances, int64_t m) {
    int32_t least = distances[0];
    for (int64_t i = 1; i < m; i++) least = distances[i] < least ? distances[i] : least;
    return least;
}

// Which codes of a block may matter to a query: those at a distance below `limit`, and of these no
// others than the `most` nearest, with all that are as near as the last of them.
struct Interest {
    int32_t limit;
    int64_t most;
};

class BatchKernel {
  public:
    virtual ~BatchKernel() = default;

    // Whether this kernel serves such codes, and pays for so many queries.
    virtual bool serves(const Shape &shape, int64_t n_queries) const = 0;
    // Codes per block: what fits the cache.
    virtual int64_t block_rows(const Shape &shape) const = 0;
    // Queries per call of `run`.
    virtual int64_t group() const = 0;
    // Rows of distances that `run` may write for n queries.
    virtual int64_t distance_rows(int64_t n) const { return n; }

    // Sizes of the rearranged forms, in bytes. 0: the plain rows are used.
    virtual int64_t prepared_queries_bytes(const Shape &shape, int64_t n) const = 0;
    virtual int64_t prepared_block_bytes(const Shape &shape, int64_t rows) const = 0;
    virtual void prepare_queries(const Shape &, const uint8_t *, int64_t, uint8_t *) const {}
    virtual void prepare_block(const Shape &, const uint8_t *, int64_t, uint8_t *) const {}

    // Whether `run` marks the codes of interest and leaves out the distances of all others.
    // Blocks are then whole 64-bit words of marks.
    virtual bool marks_codes() const { return false; }

    // Distances of `n` queries from number `first` on to the block's m codes:
    // out[i * ld + j] for query first + i and code j. Up to ld entries of a row may be written.
    // `ld` is block_rows(). Where codes are marked, bit j of the ld / 64 words from
    // marks + i * ld / 64 on says whether code j is of interests[i].
    virtual void run(const Shape &shape, const uint8_t *queries, int64_t first, int64_t n,
                     const uint8_t *block, int64_t m, int32_t *out, int64_t ld,
                     const Interest *interests, uint64_t *marks) const = 0;
};

struct Level {
    DirectKernel direct[ISOHASH_N_METRICS];
    const BatchKernel *batches[5]; // tried in order; null: none
    FindBelow find_below;
    Least least;
};

// The batch kernel of `level` for this work, or null: the direct kernel serves.
inline const BatchKernel *batch_kernel(const Level &level, const Shape &shape, int64_t n_queries) {
    for (const BatchKernel *kernel : level.batches)
        if (kernel && kernel->serves(shape, n_queries)) return kernel;
    return nullptr;
}

// The compiled levels; null where this build or this machine has none.
const Level *scalar_level();
const Level *avx2_level();
const Level *avx512_level();
const Level *amx_level();
const Level *neon_level();

// The kernels for batches of small symbols, which later levels of x86 use as well; or null.
const BatchKernel *avx2_lookup();

// A level's kernels, or null.
const Level *level_by_number(int level);

} // namespace isohash
