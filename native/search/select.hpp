// Keeps the k nearest of a stream of codes that arrive by rising position.
//
// Candidates are keys (distance, position) in one 64-bit number, so their order is the order of
// hits. They collect in a buffer; when it is full, the k smallest stay and the k-th distance
// becomes the limit. A later code at the limit loses the tie to those k earlier ones, so only
// `distance < limit` need be looked at: exact, and one comparison per code.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "levels/kernels.hpp"

namespace isohash {

using Key = uint64_t;

inline Key key_of(int32_t distance, uint32_t position) {
    return static_cast<Key>(static_cast<uint32_t>(distance)) << 32 | position;
}
inline int32_t distance_of(Key key) { return static_cast<int32_t>(key >> 32); }
inline int64_t position_of(Key key) { return static_cast<int64_t>(key & 0xffffffffu); }

// Where the codes of a block stand: from `first` on, or at `positions` if that is not null.
struct Places {
    int64_t first;
    const uint32_t *positions;

    uint32_t operator[](int64_t i) const {
        return positions ? positions[i] : static_cast<uint32_t>(first + i);
    }
};

class Selector {
  public:
    Selector(int64_t k, int64_t n)
        : k_(static_cast<size_t>(k)), capacity_(static_cast<size_t>(std::min(n, 2 * k + slack))) {
        keys_.reserve(capacity_);
    }

    void take(const int32_t *distances, int64_t m, Places places, FindBelow find_below) {
        int64_t i = find_below(distances, 0, m, limit_);
        while (i < m) {
            take_one(distances[i], places[i]);
            i = find_below(distances, i + 1, m, limit_);
        }
    }

    void take_one(int32_t distance, uint32_t position) {
        if (distance >= limit_) return;
        keys_.push_back(key_of(distance, position));
        if (keys_.size() >= capacity_) keep_nearest();
    }

    Interest interest() const { return {limit_, static_cast<int64_t>(k_)}; }

    // Lowers the limit where that is worth a look at the candidates.
    void tighten() {
        constexpr size_t enough = 8;
        if (keys_.size() >= k_ + enough || limit_ == std::numeric_limits<int32_t>::max())
            keep_nearest();
    }

    // The nearest, at most k, in order.
    const std::vector<Key> &finish() {
        keep_nearest();
        std::sort(keys_.begin(), keys_.end());
        return keys_;
    }

    // Takes over the candidates of a selector that saw other positions.
    void merge(const Selector &other) {
        keys_.insert(keys_.end(), other.keys_.begin(), other.keys_.end());
    }

  private:
    static constexpr int64_t slack = 32; // so that a small k is not cut to size at every candidate

    void keep_nearest() {
        if (keys_.size() < k_) return;
        const auto kth = keys_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
        std::nth_element(keys_.begin(), kth, keys_.end());
        limit_ = distance_of(*kth);
        keys_.resize(k_);
    }

    size_t k_, capacity_;
    int32_t limit_ = std::numeric_limits<int32_t>::max();
    std::vector<Key> keys_;
};

} // namespace isohash
