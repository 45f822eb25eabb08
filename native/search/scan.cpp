// Which rows meet which queries, in which order.
//
// A batch of queries goes over the codes block by block, so that a block is read from memory once
// and met by every query while it lies in the cache; threads share the queries. A single query
// streams through the codes; threads share the codes, where there are enough to pay for waking.

#include "search/scan.hpp"

#include <algorithm>
#include <vector>

#include "levels/kernels.hpp"
#include "search/blocks.hpp"

namespace isohash {
namespace {

// Bytes of codes that stay in the first-level cache while several queries meet them.
constexpr int64_t cached_bytes = 24 << 10;
// Codes per block where a kernel has no wish of its own.
constexpr int64_t most_rows = 2048, fewest_rows = 16;
// Codes below this many bytes are searched by one thread: waking another costs more.
constexpr int64_t bytes_worth_a_thread = 5 << 19;
// Queries that each thread should have before a batch is split by queries.
constexpr int64_t queries_worth_a_thread = 8;

// Part `i` of `n` parts of a range.
Range part_of(Range whole, int64_t i, int64_t n) {
    const int64_t size = whole.size();
    return {whole.first + size * i / n, whole.first + size * (i + 1) / n};
}

Shape shape_of(const isohash_scan &scan) {
    return {static_cast<isohash_metric>(scan.metric), scan.row_bytes, scan.q, scan.symbol_bits};
}

const uint8_t *query_row(const isohash_scan &scan, int64_t i) {
    return scan.queries + i * scan.row_bytes;
}

void scan_direct(const isohash_scan &scan, const Level &level, Range queries, Range codes,
                 Consumer &consumer) {
    const Shape shape = shape_of(scan);
    const int64_t fitting = cached_bytes / std::max<int64_t>(1, scan.row_bytes);
    const int64_t rows = std::clamp(fitting / 16 * 16, fewest_rows, most_rows);
    alignas(64) int32_t distances[most_rows];
    Blocks blocks(scan, codes, rows);
    Block block;
    while (blocks.next(block)) {
        consumer.begin(block.rows, block.places);
        for (int64_t i = queries.first; i < queries.last; i++) {
            level.direct[shape.metric](shape, query_row(scan, i), block.codes, block.rows,
                                       distances);
            consumer.take(i, distances, block.rows, block.places);
        }
    }
}

void scan_batch(const isohash_scan &scan, const BatchKernel &kernel, Range queries, Range codes,
                Consumer &consumer) {
    const Shape shape = shape_of(scan);
    const int64_t n = queries.size(), rows = kernel.block_rows(shape);
    const int64_t group = std::min(n, kernel.group());
    const Buffer prepared_queries(kernel.prepared_queries_bytes(shape, n));
    const Buffer prepared_block(kernel.prepared_block_bytes(shape, rows));
    const Buffer distances(kernel.distance_rows(group) * rows *
                           static_cast<int64_t>(sizeof(int32_t)));
    const int64_t words = kernel.marks_codes() ? rows / 64 : 0;
    std::vector<Interest> interests(static_cast<size_t>(group));
    std::vector<uint64_t> marks(static_cast<size_t>(group * words));
    const uint8_t *plain = query_row(scan, queries.first);
    if (prepared_queries.bytes()) kernel.prepare_queries(shape, plain, n, prepared_queries.bytes());
    const uint8_t *rearranged = prepared_queries.bytes() ? prepared_queries.bytes() : plain;

    Blocks blocks(scan, codes, rows);
    Block block;
    while (blocks.next(block)) {
        consumer.begin(block.rows, block.places);
        const uint8_t *block_rows = block.codes;
        if (prepared_block.bytes()) {
            kernel.prepare_block(shape, block.codes, block.rows, prepared_block.bytes());
            block_rows = prepared_block.bytes();
        }
        for (int64_t i = 0; i < n; i += group) {
            const int64_t some = std::min(group, n - i);
            const int64_t first = queries.first + i;
            for (int64_t j = 0; j < some; j++)
                interests[static_cast<size_t>(j)] = consumer.interest(first + j);
            kernel.run(shape, rearranged, i, some, block_rows, block.rows, distances.ints(), rows,
                       interests.data(), marks.data());
            for (int64_t j = 0; j < some; j++) {
                const int32_t *row = distances.ints() + j * rows;
                if (words)
                    consumer.take_marked(first + j, row, marks.data() + j * words, block.rows,
                                         block.places);
                else
                    consumer.take(first + j, row, block.rows, block.places);
            }
        }
    }
}

} // namespace

void scan_part(const isohash_scan &scan, Range queries, Range codes, Consumer &consumer) {
    const Level &level = *level_by_number(scan.level);
    const BatchKernel *kernel = batch_kernel(level, shape_of(scan), queries.size());
    if (kernel)
        scan_batch(scan, *kernel, queries, codes, consumer);
    else
        scan_direct(scan, level, queries, codes, consumer);
}

Split split_of(const isohash_scan &scan) {
    const int64_t threads = std::max<int64_t>(1, scan.threads);
    const int64_t bytes = scan.n_codes * scan.row_bytes;
    const int64_t worth = scan.n_queries * bytes / bytes_worth_a_thread;
    if (scan.n_queries >= threads * queries_worth_a_thread)
        return {std::min(threads, std::max<int64_t>(1, worth)), true};
    const int64_t code_parts =
        std::min(threads, std::max<int64_t>(1, bytes / bytes_worth_a_thread));
    return {code_parts, false};
}

Range part_of_queries(const isohash_scan &scan, Split split, int64_t part) {
    const Range all{0, scan.n_queries};
    return split.by_queries ? part_of(all, part, split.parts) : all;
}

Range part_of_codes(const isohash_scan &scan, Split split, int64_t part) {
    const Range all{0, scan.n_codes};
    return split.by_queries ? all : part_of(all, part, split.parts);
}

} // namespace isohash
