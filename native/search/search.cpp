// The searches behind the C interface: which rows meet which queries, in which order.
//
// A batch of queries goes over the codes block by block, so that a block is read from memory once
// and met by every query while it lies in the cache; threads share the queries. A single query
// streams through the codes; threads share the codes, where there are enough to pay for waking.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "search/consumers.hpp"
#include "isohash.h"
#include "levels/kernels.hpp"
#include "search/pool.hpp"

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

// Memory for kernels, at the alignment of a cache line.
class Buffer {
  public:
    explicit Buffer(int64_t bytes) {
        if (bytes == 0) return;
        const size_t room = (static_cast<size_t>(bytes) + alignment - 1) / alignment * alignment;
        data_.reset(static_cast<uint8_t *>(::operator new(room, std::align_val_t{alignment})));
    }
    uint8_t *bytes() const { return data_.get(); }
    int32_t *ints() const { return reinterpret_cast<int32_t *>(data_.get()); }

  private:
    static constexpr size_t alignment = 64;
    struct Free {
        void operator()(uint8_t *p) const { ::operator delete(p, std::align_val_t{alignment}); }
    };
    std::unique_ptr<uint8_t, Free> data_;
};

struct Block {
    const uint8_t *codes;
    int64_t rows;
    Places places;
};

// Hands out the allowed codes of a range in blocks. Where some are not allowed, the others are
// gathered, so that kernels meet consecutive rows and nobody computes what is thrown away.
class Blocks {
  public:
    Blocks(const isohash_scan &scan, Range range, int64_t block_rows)
        : scan_(scan), next_(range.first), last_(range.last), block_rows_(block_rows),
          gathered_(scan.allowed ? block_rows * scan.row_bytes : 0),
          positions_(scan.allowed ? static_cast<size_t>(block_rows) : 0) {}

    bool next(Block &block) {
        if (next_ >= last_) return false;
        if (scan_.allowed) return gather(block);
        const int64_t rows = std::min(block_rows_, last_ - next_);
        block = {row(next_), rows, {next_, nullptr}};
        next_ += rows;
        return true;
    }

  private:
    const uint8_t *row(int64_t i) const { return scan_.codes + i * scan_.row_bytes; }

    bool gather(Block &block) {
        int64_t rows = 0;
        for (; next_ < last_ && rows < block_rows_; next_++) {
            if (!scan_.allowed[next_]) continue;
            std::memcpy(gathered_.bytes() + rows * scan_.row_bytes, row(next_),
                        static_cast<size_t>(scan_.row_bytes));
            positions_[static_cast<size_t>(rows++)] = static_cast<uint32_t>(next_);
        }
        block = {gathered_.bytes(), rows, {0, positions_.data()}};
        return rows > 0;
    }

    const isohash_scan &scan_;
    int64_t next_, last_, block_rows_;
    Buffer gathered_;
    std::vector<uint32_t> positions_;
};

Shape shape_of(const isohash_scan &scan) {
    return {static_cast<isohash_metric>(scan.metric), scan.row_bytes, scan.q,
            scan.symbol_bits};
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
    while (blocks.next(block))
        for (int64_t i = queries.first; i < queries.last; i++) {
            level.direct[shape.metric](shape, query_row(scan, i), block.codes, block.rows,
                                       distances);
            consumer.take(i, distances, block.rows, block.places);
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

void scan_part(const isohash_scan &scan, Range queries, Range codes, Consumer &consumer) {
    const Level &level = *level_by_number(scan.level);
    const BatchKernel *kernel = batch_kernel(level, shape_of(scan), queries.size());
    if (kernel)
        scan_batch(scan, *kernel, queries, codes, consumer);
    else
        scan_direct(scan, level, queries, codes, consumer);
}

// How the work is cut: `parts` parts of the queries or of the codes.
struct Split {
    int64_t parts;
    bool by_queries;
};

Split split_of(const isohash_scan &scan) {
    const int64_t threads = std::max<int64_t>(1, scan.threads);
    const int64_t bytes = scan.n_codes * scan.row_bytes;
    const int64_t worth = scan.n_queries * bytes / bytes_worth_a_thread;
    if (scan.n_queries >= threads * queries_worth_a_thread)
        return {std::min(threads, std::max<int64_t>(1, worth)), true};
    const int64_t code_parts = std::min(threads, std::max<int64_t>(1, bytes / bytes_worth_a_thread));
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

// Runs work(part) for each part, in parallel. False: memory ran out.
template <class Work> bool run_parts(int64_t parts, Work work) {
    std::atomic<bool> enough{true};
    run_parallel(parts, [&](int64_t part) {
        try {
            work(part);
        } catch (const std::bad_alloc &) {
            enough = false;
        }
    });
    return enough;
}

// Writes sorted keys as hits; what is missing (it never is) would be -1.
void write_hits(const std::vector<Key> &keys, int64_t k, int32_t scale, int32_t *distances,
                int64_t *positions) {
    const int64_t found = std::min<int64_t>(k, static_cast<int64_t>(keys.size()));
    for (int64_t i = 0; i < found; i++) {
        const Key key = keys[static_cast<size_t>(i)];
        distances[i] = distance_of(key) / scale;
        positions[i] = position_of(key);
    }
    std::fill(distances + found, distances + k, -1);
    std::fill(positions + found, positions + k, -1);
}

bool topk(const isohash_scan &scan, int64_t k, int32_t *distances, int64_t *positions) {
    const Split split = split_of(scan);
    const FindBelow find_below = level_by_number(scan.level)->find_below;
    std::vector<std::unique_ptr<TopK>> parts(static_cast<size_t>(split.parts));
    const bool enough = run_parts(split.parts, [&](int64_t part) {
        const Range queries = part_of_queries(scan, split, part);
        auto consumer = std::make_unique<TopK>(queries, k, scan.n_codes, find_below);
        scan_part(scan, queries, part_of_codes(scan, split, part), *consumer);
        parts[static_cast<size_t>(part)] = std::move(consumer);
    });
    if (!enough) return false;

    for (int64_t part = 0; part < (split.by_queries ? split.parts : 1); part++) {
        const Range queries = part_of_queries(scan, split, part);
        for (int64_t i = queries.first; i < queries.last; i++) {
            Selector &selector = parts[static_cast<size_t>(part)]->selector(i);
            if (!split.by_queries)
                for (size_t other = 1; other < parts.size(); other++)
                    selector.merge(parts[other]->selector(i));
            write_hits(selector.finish(), k, scan.scale, distances + i * k, positions + i * k);
        }
    }
    return true;
}

bool matrix(const isohash_scan &scan, int32_t *distances) {
    isohash_scan all = scan;
    all.allowed = nullptr;
    const Split split = split_of(scan);
    return run_parts(split.parts, [&](int64_t part) {
        Matrix consumer(distances, scan.n_codes, scan.scale);
        scan_part(all, part_of_queries(all, split, part), part_of_codes(all, split, part),
                  consumer);
    });
}

} // namespace
} // namespace isohash

struct isohash_found {
    std::vector<std::vector<isohash::Key>> keys; // by query, in order
    int32_t scale;
};

namespace isohash {
namespace {

bool within(const isohash_scan &scan, int32_t radius, isohash_found &found) {
    const Split split = split_of(scan);
    const FindBelow find_below = level_by_number(scan.level)->find_below;
    const int32_t limit = (radius + 1) * scan.scale; // distance / scale <= radius
    std::vector<std::unique_ptr<Within>> parts(static_cast<size_t>(split.parts));
    const bool enough = run_parts(split.parts, [&](int64_t part) {
        const Range queries = part_of_queries(scan, split, part);
        auto consumer = std::make_unique<Within>(queries, limit, find_below);
        scan_part(scan, queries, part_of_codes(scan, split, part), *consumer);
        parts[static_cast<size_t>(part)] = std::move(consumer);
    });
    if (!enough) return false;

    found.scale = scan.scale;
    found.keys.resize(static_cast<size_t>(scan.n_queries));
    for (int64_t part = 0; part < split.parts; part++) {
        const Range queries = part_of_queries(scan, split, part);
        for (int64_t i = queries.first; i < queries.last; i++) {
            auto &mine = parts[static_cast<size_t>(part)]->keys()[size_t(i - queries.first)];
            auto &all = found.keys[static_cast<size_t>(i)];
            all.insert(all.end(), mine.begin(), mine.end());
        }
    }
    for (auto &keys : found.keys) std::sort(keys.begin(), keys.end());
    return true;
}

} // namespace
} // namespace isohash

// Memory may also run out outside the parts: no exception leaves the C interface.

int isohash_topk(const isohash_scan *scan, int64_t k, int32_t *distances, int64_t *positions) {
    try {
        if (k == 0) return 0;
        return isohash::topk(*scan, k, distances, positions) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

int isohash_matrix(const isohash_scan *scan, int32_t *distances) {
    try {
        return isohash::matrix(*scan, distances) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

isohash_found *isohash_within(const isohash_scan *scan, int32_t radius) {
    try {
        auto found = std::make_unique<isohash_found>();
        return isohash::within(*scan, radius, *found) ? found.release() : nullptr;
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

int64_t isohash_found_total(const isohash_found *found) {
    int64_t total = 0;
    for (const auto &keys : found->keys) total += static_cast<int64_t>(keys.size());
    return total;
}

void isohash_found_copy(const isohash_found *found, int64_t *offsets, int32_t *distances,
                        int64_t *positions) {
    int64_t place = 0;
    *offsets++ = 0;
    for (const auto &keys : found->keys) {
        for (const isohash::Key key : keys) {
            distances[place] = isohash::distance_of(key) / found->scale;
            positions[place++] = isohash::position_of(key);
        }
        *offsets++ = place;
    }
}

void isohash_found_free(isohash_found *found) { delete found; }
