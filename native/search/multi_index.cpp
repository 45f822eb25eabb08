// Multi-index hashing for codes of at most 64 bits: near-constant cost per query, and exact.
//
// A code is cut into four substrings, and a table per substring holds the codes in the order of
// their buckets. If two codes differ in at most 4 r + 3 bits, some substring differs in at most r.
// So after every bucket within r of the query's has been looked at in every table, all codes
// within 4 r + 3 are known; once the k-th best of them is that near, nothing better is left. Half
// way, after r in the tables 0 .. t only, the same holds for 4 r + t.

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "isohash.h"
#include "levels/kernels.hpp"
#include "search/pool.hpp"
#include "search/select.hpp"

namespace isohash {
namespace {

constexpr int n_tables = 4, longest_substring = 16;

#if defined(__x86_64__) && defined(__GNUC__)
// Every level needs this instruction, so a search that is allowed to begin may use it.
#define ISOHASH_POPCNT __attribute__((target("popcnt")))
#else
#define ISOHASH_POPCNT
#endif

ISOHASH_INLINE int set_bits(uint64_t x) {
#if defined(__GNUC__)
    return __builtin_popcountll(x);
#else
    int n = 0;
    for (; x; x &= x - 1) n++;
    return n;
#endif
}

// The numbers of up to 16 bits with 0, 1, ... 16 set bits.
struct Patterns {
    std::vector<uint32_t> with[longest_substring + 1];

    Patterns() {
        for (uint32_t x = 0; x < 1u << longest_substring; x++) with[set_bits(x)].push_back(x);
    }
};

const Patterns &patterns() {
    static const Patterns all;
    return all;
}

struct Substring {
    int shift, bits;

    uint32_t of(uint64_t code) const {
        return static_cast<uint32_t>(code >> shift) & ((1u << bits) - 1);
    }
};

// The codes in the order of their buckets, and where each bucket begins.
struct Table {
    Substring part;
    std::vector<uint32_t> begin;
    std::vector<uint64_t> codes;
    std::vector<uint32_t> positions;

    Table(Substring substring, const std::vector<uint64_t> &all)
        : part(substring), begin((size_t{1} << substring.bits) + 1), codes(all.size()),
          positions(all.size()) {
        for (const uint64_t code : all) begin[part.of(code) + 1]++;
        for (size_t b = 1; b < begin.size(); b++) begin[b] += begin[b - 1];
        std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
        for (size_t i = 0; i < all.size(); i++) {
            const uint32_t place = next[part.of(all[i])]++;
            codes[place] = all[i];
            positions[place] = static_cast<uint32_t>(i);
        }
    }
};

// The k smallest keys of a stream in any order.
class Nearest {
  public:
    explicit Nearest(int64_t k) : k_(static_cast<size_t>(k)) { heap_.reserve(k_); }

    void push(Key key) {
        if (heap_.size() == k_) {
            if (key >= heap_.front()) return;
            std::pop_heap(heap_.begin(), heap_.end());
            heap_.pop_back();
        }
        heap_.push_back(key);
        std::push_heap(heap_.begin(), heap_.end());
    }
    // The k-th best distance; the largest number while there are fewer.
    int32_t worst() const {
        return heap_.size() == k_ ? distance_of(heap_.front())
                                  : std::numeric_limits<int32_t>::max();
    }
    void write(int32_t *distances, int64_t *positions) {
        std::sort_heap(heap_.begin(), heap_.end());
        for (size_t i = 0; i < heap_.size(); i++) {
            distances[i] = distance_of(heap_[i]);
            positions[i] = position_of(heap_[i]);
        }
    }

  private:
    size_t k_;
    std::vector<Key> heap_;
};

} // namespace
} // namespace isohash

struct isohash_tables {
    int length;
    std::vector<isohash::Table> tables;
};

namespace isohash {
namespace {

// A stored code as a number of `length` bits: the first bit of the first byte is the highest.
uint64_t as_number(const uint8_t *row, int length) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | row[i];
    return number >> (64 - length);
}

// One query's walk through the buckets.
class Walk {
  public:
    Walk(const isohash_tables &index, uint64_t query, int64_t k)
        : index_(index), query_(query), nearest_(k) {}

    // False: more than `most` codes and buckets would have to be looked at.
    bool run(int64_t most) {
        for (int radius = 0; radius <= longest_substring; radius++)
            for (int t = 0; t < n_tables; t++) {
                if (!visit_table(t, radius, most)) return false;
                if (nearest_.worst() <= n_tables * radius + t) return true;
            }
        return true;
    }
    int64_t touched() const { return touched_; }
    Nearest &nearest() { return nearest_; }

  private:
    bool visit_table(int t, int radius, int64_t most) {
        const Table &table = index_.tables[static_cast<size_t>(t)];
        const uint32_t buckets = static_cast<uint32_t>(table.begin.size()) - 1;
        const std::vector<uint32_t> &changes = patterns().with[radius];
        if (touched_ + static_cast<int64_t>(changes.size()) > most) return false;
        const uint32_t own = table.part.of(query_);
        for (size_t i = 0; i < changes.size(); i++) {
            if (changes[i] >= buckets) break; // patterns rise; this substring is shorter
            if (i + ahead < changes.size()) ask_for(table, own ^ changes[i + ahead]);
            const uint32_t bucket = own ^ changes[i];
            touched_ += table.begin[bucket + 1] - table.begin[bucket] + 1;
            if (touched_ > most) return false;
            visit_bucket(table, bucket, t, radius);
        }
        return true;
    }

    // The next buckets lie anywhere in memory: they are asked for early.
    static constexpr size_t ahead = 6;

    static void ask_for(const Table &table, uint32_t bucket) {
#if defined(__GNUC__)
        if (bucket + 1 >= table.begin.size()) return;
        const uint64_t *codes = table.codes.data() + table.begin[bucket];
        __builtin_prefetch(codes);
        __builtin_prefetch(codes + 8);
#else
        (void)table, (void)bucket;
#endif
    }

    ISOHASH_POPCNT void visit_bucket(const Table &table, uint32_t bucket, int t, int radius) {
        int32_t worst = nearest_.worst();
        const uint32_t end = table.begin[bucket + 1];
        for (uint32_t i = table.begin[bucket]; i < end; i++) {
            const uint64_t changed = table.codes[i] ^ query_;
            const int32_t distance = set_bits(changed);
            if (distance > worst || !is_first_meeting(changed, t, radius)) continue;
            nearest_.push(key_of(distance, table.positions[i]));
            worst = nearest_.worst();
        }
    }

    // A code may lie in a near bucket of several tables; it counts where it is met first.
    ISOHASH_POPCNT bool is_first_meeting(uint64_t changed, int t, int radius) const {
        for (int other = 0; other < n_tables; other++) {
            const int bits = set_bits(index_.tables[static_cast<size_t>(other)].part.of(changed));
            if (bits < radius || (bits == radius && other < t)) return false;
        }
        return true;
    }

    const isohash_tables &index_;
    uint64_t query_;
    Nearest nearest_;
    int64_t touched_ = 0;
};

} // namespace
} // namespace isohash

isohash_tables *isohash_tables_build(const uint8_t *codes, int64_t n, int32_t length) {
    try {
        std::vector<uint64_t> numbers(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; i++)
            numbers[static_cast<size_t>(i)] = isohash::as_number(codes + 8 * i, length);
        auto index = std::make_unique<isohash_tables>();
        index->length = length;
        for (int t = 0; t < isohash::n_tables; t++) {
            const int first = length * t / isohash::n_tables;
            const int last = length * (t + 1) / isohash::n_tables;
            index->tables.emplace_back(isohash::Substring{first, last - first}, numbers);
        }
        return index.release();
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void isohash_tables_free(isohash_tables *index) { delete index; }

int isohash_tables_topk(const isohash_tables *index, const isohash_scan *scan, int64_t k,
                        int64_t most, int32_t *distances, int64_t *positions, int64_t *touched) {
    std::atomic<bool> enough{true};
    const int64_t parts = std::min<int64_t>(scan->threads, scan->n_queries);
    isohash::run_parallel(parts, [&](int64_t part) {
        const int64_t last = scan->n_queries * (part + 1) / parts;
        for (int64_t i = scan->n_queries * part / parts; i < last; i++) {
            try {
                const uint8_t *row = scan->queries + 8 * i;
                isohash::Walk walk(*index, isohash::as_number(row, index->length), k);
                const bool done = walk.run(most);
                touched[i] = done ? walk.touched() : scan->n_codes;
                if (done) {
                    walk.nearest().write(distances + i * k, positions + i * k);
                    continue;
                }
                isohash_scan one = *scan;
                one.queries = row;
                one.n_queries = one.threads = 1;
                if (isohash_topk(&one, k, distances + i * k, positions + i * k)) enough = false;
            } catch (const std::bad_alloc &) {
                enough = false;
            }
        }
    });
    return enough ? 0 : 1;
}
