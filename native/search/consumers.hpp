// What becomes of distances: the k nearest are kept, all are written down, the least of each case
// is, or those within a radius are collected.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "levels/kernels.hpp"
#include "search/select.hpp"

namespace isohash {

struct Range {
    int64_t first, last;

    int64_t size() const { return last - first; }
};

// Receives the distances of every query to block after block, by rising position.
class Consumer {
  public:
    virtual ~Consumer() = default;
    // A block of m codes comes next.
    virtual void begin(int64_t, Places) {}
    virtual Interest interest(int64_t query) = 0;
    virtual void take(int64_t query, const int32_t *distances, int64_t m, Places places) = 0;
    // Only marked distances are there.
    virtual void take_marked(int64_t query, const int32_t *distances, const uint64_t *marks,
                             int64_t m, Places places) = 0;
};

constexpr Interest everything{std::numeric_limits<int32_t>::max(),
                              std::numeric_limits<int64_t>::max()};

// Calls act(i) for each marked code, in order.
template <class Act> void each_mark(const uint64_t *marks, int64_t m, Act act) {
    for (int64_t w = 0; 64 * w < m; w++)
        for (uint64_t left = marks[w]; left; left &= left - 1) act(64 * w + lowest_bit(left));
}

class TopK : public Consumer {
  public:
    TopK(Range queries, int64_t k, int64_t n, FindBelow find_below)
        : first_(queries.first), find_below_(find_below),
          selectors_(static_cast<size_t>(queries.size()), Selector(k, n)) {}

    Interest interest(int64_t query) override { return selector(query).interest(); }
    void take(int64_t query, const int32_t *distances, int64_t m, Places places) override {
        selector(query).take(distances, m, places, find_below_);
    }
    void take_marked(int64_t query, const int32_t *distances, const uint64_t *marks, int64_t m,
                     Places places) override {
        Selector &nearest = selector(query);
        each_mark(marks, m, [&](int64_t i) { nearest.take_one(distances[i], places[i]); });
        nearest.tighten();
    }
    Selector &selector(int64_t query) { return selectors_[static_cast<size_t>(query - first_)]; }

  private:
    int64_t first_;
    FindBelow find_below_;
    std::vector<Selector> selectors_;
};

class Matrix : public Consumer {
  public:
    Matrix(int32_t *out, int64_t columns, int32_t scale)
        : out_(out), columns_(columns), scale_(scale) {}

    Interest interest(int64_t) override { return everything; }
    void take_marked(int64_t query, const int32_t *distances, const uint64_t *, int64_t m,
                     Places places) override {
        take(query, distances, m, places); // all are marked
    }
    void take(int64_t query, const int32_t *distances, int64_t m, Places places) override {
        int32_t *row = out_ + query * columns_ + places.first;
        if (scale_ == 1)
            std::memcpy(row, distances, static_cast<size_t>(m) * sizeof(int32_t));
        else
            for (int64_t i = 0; i < m; i++) row[i] = distances[i] / scale_;
    }

  private:
    int32_t *out_;
    int64_t columns_;
    int32_t scale_;
};

// Case c owns the codes start[c] to start[c + 1] - 1. The least distance of each query to each case
// comes into `out` (n_queries, n_cases), which is full of larger numbers when the scan begins.
class LeastPerCase : public Consumer {
  public:
    LeastPerCase(const int64_t *start, int64_t n_cases, int32_t scale, Least least, int32_t *out)
        : start_(start), n_cases_(n_cases), scale_(scale), least_(least), out_(out) {}

    Interest interest(int64_t) override { return everything; }
    void begin(int64_t m, Places places) override {
        runs_.clear();
        for (int64_t i = 0; i < m;) {
            while (start_[case_ + 1] <= places[i]) case_++;
            const int64_t first = i, end = start_[case_ + 1];
            while (i < m && places[i] < end) i++;
            runs_.push_back({{first, i}, case_});
        }
    }
    void take_marked(int64_t query, const int32_t *distances, const uint64_t *, int64_t m,
                     Places places) override {
        take(query, distances, m, places); // all are marked
    }
    void take(int64_t query, const int32_t *distances, int64_t, Places) override {
        int32_t *row = out_ + query * n_cases_;
        for (const Run &run : runs_) {
            const int32_t raw = least_(distances + run.codes.first, run.codes.size());
            row[run.of_case] = std::min(row[run.of_case], scale_ == 1 ? raw : raw / scale_);
        }
    }

  private:
    struct Run { // codes of the block that belong to one case
        Range codes;
        int64_t of_case;
    };

    const int64_t *start_;
    int64_t n_cases_;
    int32_t scale_;
    Least least_;
    int32_t *out_;
    int64_t case_ = 0; // the last one met
    std::vector<Run> runs_;
};

class Within : public Consumer {
  public:
    Within(Range queries, int32_t limit, FindBelow find_below)
        : first_(queries.first), limit_(limit), find_below_(find_below),
          keys_(static_cast<size_t>(queries.size())) {}

    Interest interest(int64_t) override { return {limit_, std::numeric_limits<int64_t>::max()}; }
    void take_marked(int64_t query, const int32_t *distances, const uint64_t *marks, int64_t m,
                     Places places) override {
        std::vector<Key> &keys = keys_[static_cast<size_t>(query - first_)];
        each_mark(marks, m, [&](int64_t i) { keys.push_back(key_of(distances[i], places[i])); });
    }
    void take(int64_t query, const int32_t *distances, int64_t m, Places places) override {
        std::vector<Key> &keys = keys_[static_cast<size_t>(query - first_)];
        int64_t i = find_below_(distances, 0, m, limit_);
        for (; i < m; i = find_below_(distances, i + 1, m, limit_))
            keys.push_back(key_of(distances[i], places[i]));
    }
    std::vector<std::vector<Key>> &keys() { return keys_; }

  private:
    int64_t first_;
    int32_t limit_;
    FindBelow find_below_;
    std::vector<std::vector<Key>> keys_;
};

} // namespace isohash
