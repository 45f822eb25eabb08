// The searches behind the C interface that know how much they find: the k nearest, all distances,
// the least per case.

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "isohash.h"
#include "levels/kernels.hpp"
#include "search/consumers.hpp"
#include "search/scan.hpp"

namespace isohash {
namespace {

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

// The nearest border of a case at or behind each end of the range: one thread sees all of a case.
Range whole_cases(Range codes, const int64_t *start, int64_t n_cases) {
    const int64_t *end = start + n_cases + 1; // *(end - 1) is the number of codes
    return {*std::lower_bound(start, end, codes.first), *std::lower_bound(start, end, codes.last)};
}

bool least(const isohash_scan &scan, const int64_t *start, int64_t n_cases, int32_t *out) {
    std::fill(out, out + scan.n_queries * n_cases, std::numeric_limits<int32_t>::max());
    const Split split = split_of(scan);
    const Least least_of_level = level_by_number(scan.level)->least;
    return run_parts(split.parts, [&](int64_t part) {
        LeastPerCase consumer(start, n_cases, scan.scale, least_of_level, out);
        scan_part(scan, part_of_queries(scan, split, part),
                  whole_cases(part_of_codes(scan, split, part), start, n_cases), consumer);
    });
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

int isohash_least(const isohash_scan *scan, const int64_t *start, int64_t n_cases, int32_t *least) {
    try {
        return isohash::least(*scan, start, n_cases, least) ? 0 : 1;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}
