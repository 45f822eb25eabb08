// Sums of decision trees over rows of binned features.

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "isohash.h"
#include "search/pool.hpp"

namespace isohash {
namespace {

constexpr int64_t block = 512; // rows whose bins stay in the cache while all trees look at them
constexpr int group = 16;      // rows that descend together: their loads do not wait for each other

struct Node {
    uint8_t feature, cut;
    uint16_t left; // of the two children, which are neighbours; a leaf is its own left child
};

struct Tree {
    const Node *nodes;
    const int32_t *values;
};

// One step down for each of the group; false where all of them stand on a leaf already.
bool descend(const Node *nodes, const uint8_t *bins, int64_t features, uint16_t *at) {
    unsigned moved = 0;
    for (int i = 0; i < group; i++) {
        const Node node = nodes[at[i]];
        const uint16_t next =
            static_cast<uint16_t>(node.left + (bins[i * features + node.feature] > node.cut));
        moved |= static_cast<unsigned>(next ^ at[i]);
        at[i] = next;
    }
    return moved != 0;
}

void add_group(const Tree &tree, const uint8_t *bins, int64_t features, int32_t *out) {
    uint16_t at[group] = {};
    while (descend(tree.nodes, bins, features, at)) {
    }
    for (int i = 0; i < group; i++) out[i] += tree.values[at[i]];
}

void add_row(const Tree &tree, const uint8_t *bins, int32_t *out) {
    for (uint16_t at = 0;;) {
        const Node node = tree.nodes[at];
        const uint16_t next = static_cast<uint16_t>(node.left + (bins[node.feature] > node.cut));
        if (next == at) {
            *out += tree.values[at];
            return;
        }
        at = next;
    }
}

void add_block(const Tree &tree, const uint8_t *bins, int64_t features, int64_t n, int32_t *out) {
    int64_t i = 0;
    for (; i + group <= n; i += group) add_group(tree, bins + i * features, features, out + i);
    for (; i < n; i++) add_row(tree, bins + i * features, out + i);
}

std::vector<Node> nodes_of(const isohash_trees *in) {
    std::vector<Node> nodes(static_cast<size_t>(in->starts[in->n_trees]));
    for (size_t i = 0; i < nodes.size(); i++) nodes[i] = {in->feature[i], in->cut[i], in->left[i]};
    return nodes;
}

} // namespace
} // namespace isohash

void isohash_bins(const float *values, int64_t n, int64_t columns, const double *thresholds,
                  const int64_t *offsets, int64_t stride, uint8_t *bins) {
    for (int64_t row = 0; row < n; row++, values += columns, bins += stride)
        for (int64_t j = 0; j < columns; j++) {
            const double *const first = thresholds + offsets[j], *const end =
                                                                     thresholds + offsets[j + 1];
            bins[j] = std::isnan(values[j])
                          ? 255
                          : static_cast<uint8_t>(std::lower_bound(first, end, values[j]) - first);
        }
}

int isohash_sum_trees(const isohash_trees *in, const uint8_t *bins, int64_t n, int32_t threads,
                      int32_t *out) try {
    using namespace isohash;
    const std::vector<Node> nodes = nodes_of(in);
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(threads, n / block));
    run_parallel(parts, [&](int64_t part) {
        const int64_t end = n * (part + 1) / parts;
        for (int64_t first = n * part / parts; first < end; first += block) {
            const int64_t rows = std::min(block, end - first);
            std::fill(out + first, out + first + rows, in->base);
            for (int64_t t = 0; t < in->n_trees; t++)
                add_block({nodes.data() + in->starts[t], in->values + in->starts[t]},
                          bins + first * in->features, in->features, rows, out + first);
        }
    });
    return 0;
} catch (const std::bad_alloc &) {
    return 1;
}
