/* The plain C interface of the isohash engine: arrays in, arrays out, no state but a thread pool.
 *
 * Rows are `row_bytes` bytes, one after another. For bit codes (metric hamming) a row is whole
 * 64-bit words; for symbol codes it holds symbols of 4 bits, two to the byte, of 8 or of 16 bits.
 * Symbols of 16 bits, and q where the metric is a Lee metric, are less than ISOHASH_LARGEST_Q.
 * Distances are divided by `scale`. Hits are ordered by (distance, position).
 * Every function may be called from several threads at once.
 */
#ifndef ISOHASH_H
#define ISOHASH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits; tests compare them, and the numbers below, with those of the Python package. */
#define ISOHASH_MOST_CODES INT64_C(4294967295)       /* of one search */
#define ISOHASH_LARGEST_DISTANCE (INT32_MAX / 2 - 1) /* of two codes */
#define ISOHASH_MOST_THREADS 1024
#define ISOHASH_LARGEST_Q 32768
#define ISOHASH_LARGEST_WRAPPED_Q 256 /* of isohash_wrap_symbols */
#define ISOHASH_SHORTEST_TABLES 4     /* bits of a code in multi-index tables */
#define ISOHASH_LONGEST_TABLES 64

enum isohash_metric {
    ISOHASH_HAMMING = 0,     /* differing bits */
    ISOHASH_LEE = 1,         /* sum of min(d, q - d), d = |a - b| */
    ISOHASH_SQUARED_LEE = 2, /* sum of min(d, q - d)^2 */
    ISOHASH_DIFFERENT = 3,   /* symbols that differ */
    ISOHASH_ABSOLUTE = 4,    /* sum of |a - b| */
    ISOHASH_SQUARED = 5,     /* sum of (a - b)^2 */
    ISOHASH_N_METRICS = 6
};

/* Levels of kernels, by the instructions they need. */
enum isohash_level {
    ISOHASH_SCALAR = 0,
    ISOHASH_AVX2 = 1,
    ISOHASH_AVX512 = 2,
    ISOHASH_AMX = 3,
    ISOHASH_NEON = 4,
    ISOHASH_N_LEVELS = 5
};

/* What a level is worth on this machine. */
enum isohash_status {
    ISOHASH_ABSENT = 0, /* not compiled in, or the processor or the system lacks it */
    ISOHASH_READY = 1,
    ISOHASH_WRONG = 2 /* it ran, and disagreed with the scalar level: never used */
};

/* What to search: how rows are compared, the rows themselves, and by which level. */
struct isohash_scan {
    int32_t metric;
    int32_t q;
    int32_t scale;
    int32_t level;
    int32_t threads;
    int32_t symbol_bits; /* 1 where the metric is hamming, else 4, 8 or 16 */
    int64_t row_bytes;
    const uint8_t *queries;
    int64_t n_queries;
    const uint8_t *codes;
    int64_t n_codes;        /* at most ISOHASH_MOST_CODES */
    const uint8_t *allowed; /* n_codes bytes, 0 leaves a code out; or null: all of them */
};

/* The status of one level; the first call checks it against the scalar level. */
int isohash_level_status(int level);

/* The searches below return 0, or 1 where memory ran out. */

/* The k nearest codes of each query, k at most the number of allowed codes.
 * `distances` and `positions` are (n_queries, k). */
int isohash_topk(const struct isohash_scan *scan, int64_t k, int32_t *distances,
                 int64_t *positions);

/* All distances, (n_queries, n_codes). `allowed` is not looked at. */
int isohash_matrix(const struct isohash_scan *scan, int32_t *distances);

/* The least distance of each query to the allowed codes of each case. Case c owns the codes
 * start[c] to start[c + 1] - 1: `start` (n_cases + 1,) never falls and leads from 0 to n_codes.
 * `least` is (n_queries, n_cases), INT32_MAX where no code of a case is allowed. Beyond it memory
 * is needed for blocks of codes only. */
int isohash_least(const struct isohash_scan *scan, const int64_t *start, int64_t n_cases,
                  int32_t *least);

/* The codes within `radius` of each query. The result must be freed; null: memory ran out. */
struct isohash_found;
struct isohash_found *isohash_within(const struct isohash_scan *scan, int32_t radius);
int64_t isohash_found_total(const struct isohash_found *found);
/* `offsets` is (n_queries + 1,), the others (total,). */
void isohash_found_copy(const struct isohash_found *found, int64_t *offsets, int32_t *distances,
                        int64_t *positions);
void isohash_found_free(struct isohash_found *found);

/* ---- multi-index hashing, for codes of 4 to 64 bits ---- */

/* Tables over n codes of one word each; null: memory ran out. They hold the codes four times. */
struct isohash_tables;
struct isohash_tables *isohash_tables_build(const uint8_t *codes, int64_t n, int32_t length);
void isohash_tables_free(struct isohash_tables *index);

/* As isohash_topk, where `scan` has the very codes of the tables, and 1 <= k <= n. A query that
 * would look at more than `most` codes and buckets is answered by the scan instead.
 * `touched` (n_queries,) receives how many each looked at. */
int isohash_tables_topk(const struct isohash_tables *index, const struct isohash_scan *scan,
                        int64_t k, int64_t most, int32_t *distances, int64_t *positions,
                        int64_t *touched);

/* ---- from projections to codes ----
 *
 * One pass over `n` rows of `m` values, each a product plus its column's offset. Where a value is
 * within its row's tolerance of a threshold, rounding of the product could have moved it to the
 * other side: its place row * m + column is reported in `borderline`, in rising order, for the
 * caller to settle. At most `capacity` places are written; the number found is returned, or -1
 * where memory ran out.
 * The result does not depend on the processor: every step is exact or a single IEEE operation. */
struct isohash_projections {
    const float *products; /* (n, m) */
    const float *offsets;  /* (m,) */
    int64_t n, m;
    const float *tolerances; /* one a row */
    int32_t threads;
    int32_t portable; /* not 0: without vector instructions */
    int64_t capacity;
    int64_t *borderline;
};

/* Values in turns. A bit is set where the value lies less than half_widths[column] from a whole
 * turn. `packed` has (m + 7) / 8 bytes a row, the first bit in the highest place. */
int64_t isohash_threshold_turns(const struct isohash_projections *in, const float *half_widths,
                                uint8_t *packed);

/* symbols[row, column] = floor(value) mod q, 2 <= q <= 256. Values beyond 2^23 in size, infinite
 * or not a number are reported as borderline, with symbol 0. */
int64_t isohash_wrap_symbols(const struct isohash_projections *in, int32_t q, uint8_t *symbols);

/* indices[row, column] = how many of the column's thresholds a value reaches. Column j has
 * 2^widths[j] - 1 rising thresholds, widths 1 to 16; those of all columns follow each other. Values
 * that are infinite or not a number are reported as borderline. */
int64_t isohash_quantise(const struct isohash_projections *in, const uint8_t *widths,
                         const float *thresholds, uint16_t *indices);

/* ---- symbols as they are stored ----
 *
 * Symbol j of a row takes widths[j] bits, 1 to 16, the highest first; rows are padded with zero
 * bits to `row_bytes`, which hold them all. `symbols` has `length` symbols a row, larger bits are
 * lost. */
void isohash_pack(const uint16_t *symbols, int64_t n, int64_t length, const uint8_t *widths,
                  int64_t row_bytes, uint8_t *packed);
void isohash_unpack(const uint8_t *packed, int64_t n, int64_t length, const uint8_t *widths,
                    int64_t row_bytes, uint16_t *symbols);

/* What stored symbols stand for. Group g of a row stores in widths[g] bits, packed as above, which
 * of its 2^widths[g] rows of spans[g] symbols it holds; `values` has these rows, group after group.
 * `symbols` is (n, sum of spans). Returns 0, or 1 where memory ran out. */
int isohash_symbols(const uint8_t *packed, int64_t n, int64_t row_bytes, const uint8_t *widths,
                    const uint8_t *spans, int64_t n_groups, const uint16_t *values, int32_t threads,
                    uint16_t *symbols);

/* out[i] = sum over j of a[rows[i], j] * b[columns[i], j], in double precision: a product of two
 * floats is exact, the order of summation is not fixed. `a` and `b` have rows of `d` floats. */
void isohash_dots(const float *a, const float *b, int64_t d, const int64_t *rows,
                  const int64_t *columns, int64_t n, double *out);

/* ---- fitting codes to data ----
 *
 * out[i, g] = the first of the `m` points of block g with the largest <x, point> - offset, x being
 * what row i has on the block's axes. Rows have sum of `spans` floats; of each block `points` holds
 * coordinate after coordinate of all its points, and `offsets` is (groups, m); m is a multiple
 * of 8. Each product and each sum is rounded by itself, in the order of the axes. leads[i, g] is by
 * how much the best score exceeds all others. Returns 0. */
int isohash_nearest_points(const float *rows, int64_t n, const uint8_t *spans, int64_t groups,
                           const float *points, const float *offsets, int64_t m, int32_t threads,
                           uint16_t *out, float *leads);

/* Lloyd's rule for single axes, each by itself: `x` (columns, n) ascends, `sums` (columns, n + 1)
 * are the sums of the first 0, 1, ... of them, `levels` (columns, k) move, `rounds` times or until
 * no value changes its level. Returns 1 where memory ran out, else 0. */
int isohash_lloyd(const double *x, const double *sums, int64_t columns, int64_t n, int64_t k,
                  int64_t rounds, double *levels);

/* ---- sums of decision trees ----
 *
 * Rows of `features` bins, a byte each. Node i of a tree sends a row to the node left[i], or to the
 * one behind it where the row's bin of feature[i] exceeds cut[i]; a leaf has left[i] = i and cut[i]
 * = 255. Children lie behind their parents, `left` counts from the tree's first node. The nodes of
 * tree t begin at starts[t]; starts has n_trees + 1 entries.
 * out[i] = base + the values of the leaves that row i reaches, in whole numbers: the order of the
 * sum changes nothing. Returns 1 where memory ran out, else 0. */
struct isohash_trees {
    int64_t n_trees, features;
    const int64_t *starts;
    const uint8_t *feature, *cut;
    const uint16_t *left;
    const int32_t *values;
    int32_t base;
};

int isohash_sum_trees(const struct isohash_trees *in, const uint8_t *bins, int64_t n,
                      int32_t threads, int32_t *out);

/* How many of a column's rising thresholds each value lies above: bins[row * stride + column]. The
 * thresholds of column j are those from offsets[j] to offsets[j + 1], at most 254; `values` has
 * `columns` floats a row. NaN has bin 255. */
void isohash_bins(const float *values, int64_t n, int64_t columns, const double *thresholds,
                  const int64_t *offsets, int64_t stride, uint8_t *bins);

/* ---- distances on a grid ----
 *
 * out[cell] = the distance from each cell of a grid (planes, rows, columns) to the nearest marked
 * one, cells being `steps` apart along the axes; infinite where none is. With `flat` every plane
 * is a grid of its own. Returns 1 where memory ran out, else 0. */
int isohash_distances(const uint8_t *marked, const int64_t *shape, const double *steps,
                      int32_t flat, double *out);

/* ---- matching slices ----
 *
 * The slices of a query lie on the rungs `at` (n_query,), which rise from 0. Case c has the rungs
 * start[c] to start[c + 1] - 1, each with its stored slice; costs[row * n_stored + slice] is what
 * it costs to match it with a slice of the query. price[c] is what each rung without a counterpart
 * costs; with `free_ends` those of a case before and after the matched ones cost nothing.
 * `totals` (n_cases,) are the least totals of monotone matchings, infinite for a case without
 * rungs; `rungs` (n_cases, n_query), which may be null, the rung of each slice of the query,
 * counted from the case's first, -1 where it lies beyond the case's ends, and is not written for a
 * case without rungs. Returns 1 where memory ran out, else 0. */
struct isohash_alignment {
    int64_t n_query, n_stored, n_cases;
    const double *costs;
    const int64_t *slice, *start, *at;
    const double *price;
    int32_t free_ends;
};

int isohash_align(const struct isohash_alignment *in, double *totals, int64_t *rungs);

#ifdef __cplusplus
}
#endif

#endif
