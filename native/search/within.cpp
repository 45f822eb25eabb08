// The search that does not know how much it will find: all codes within a radius.

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "isohash.h"
#include "levels/kernels.hpp"
#include "search/consumers.hpp"
#include "search/scan.hpp"

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
