// How a search is cut into parts that run side by side, and the scan that each of them is.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>

#include "isohash.h"
#include "search/consumers.hpp"
#include "search/pool.hpp"

namespace isohash {

// How the work is cut: `parts` parts of the queries or of the codes.
struct Split {
    int64_t parts;
    bool by_queries;
};

Split split_of(const isohash_scan &scan);
Range part_of_queries(const isohash_scan &scan, Split split, int64_t part);
Range part_of_codes(const isohash_scan &scan, Split split, int64_t part);

// Shows the consumer the distances of some queries to the allowed ones of some codes.
void scan_part(const isohash_scan &scan, Range queries, Range codes, Consumer &consumer);

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

} // namespace isohash
