// Sums of trees from Python: a tree that could lead out of its nodes is refused.

#include "python/functions.hpp"

namespace isohash_module {
namespace {

struct TreesArgs {
    isohash_trees trees{};
    View starts, feature, cut, left, values;

    // starts, feature, cut, left, values, base, features
    bool read(PyObject *const *args) {
        int64_t base;
        if (!starts.take(args[0], false) || !feature.take(args[1], false) ||
            !cut.take(args[2], false) || !left.take(args[3], false) ||
            !values.take(args[4], false) || !read_int(args[5], INT32_MIN, INT32_MAX, base) ||
            !read_int(args[6], 1, 255, trees.features))
            return false;
        trees.n_trees = starts.bytes() / 8 - 1;
        trees.starts = starts.as<const int64_t>();
        trees.feature = feature.as<const uint8_t>();
        trees.cut = cut.as<const uint8_t>();
        trees.left = left.as<const uint16_t>();
        trees.values = values.as<const int32_t>();
        trees.base = static_cast<int32_t>(base);
        return sizes_fit() && stay_inside();
    }

  private:
    bool sizes_fit() const {
        const int64_t n = feature.bytes();
        if (trees.n_trees < 0 || trees.starts[0] != 0 || trees.starts[trees.n_trees] != n)
            return refuse("the trees do not fill their nodes");
        return is_array(cut, n, 1) && is_array(left, n, 2) && is_array(values, n, 4);
    }

    bool stay_inside() const {
        for (int64_t t = 0; t < trees.n_trees; t++) {
            const int64_t first = trees.starts[t], size = trees.starts[t + 1] - first;
            if (size < 1 || size > 65535) return refuse("a tree has 1 to 65535 nodes");
            for (int64_t i = 0; i < size; i++)
                if (!is_sound(first + i, i, size)) return refuse("a tree leads out of its nodes");
        }
        return true;
    }

    bool is_sound(int64_t node, int64_t i, int64_t size) const {
        if (trees.feature[node] >= trees.features) return false;
        const int64_t next = trees.left[node];
        return next == i ? trees.cut[node] == 255 : next > i && next + 1 < size;
    }
};

} // namespace

// sum_trees(starts, feature, cut, left, values, base, features, bins, threads, out)
PyObject *sum_trees(PyObject *, PyObject *const *args, Py_ssize_t n) {
    TreesArgs all;
    View bins, out;
    int64_t threads;
    if (!has_args(n, 10) || !all.read(args) || !bins.take(args[7], false) ||
        !read_int(args[8], 1, 1024, threads) || !out.take(args[9], true))
        return nullptr;
    const int64_t rows = out.bytes() / 4;
    if (!is_array(bins, rows * all.trees.features, 1) || !is_array(out, rows, 4)) return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_sum_trees(&all.trees, bins.as<const uint8_t>(), rows,
                               static_cast<int32_t>(threads), out.as<int32_t>());
    Py_END_ALLOW_THREADS
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

// bins(values, thresholds, offsets, stride, bins)
PyObject *bins(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View values, thresholds, offsets, out;
    int64_t stride;
    if (!has_args(n, 5) || !values.take(args[0], false) || !thresholds.take(args[1], false) ||
        !offsets.take(args[2], false) || !read_int(args[3], 1, 255, stride) ||
        !out.take(args[4], true))
        return nullptr;
    const int64_t columns = offsets.bytes() / 8 - 1, rows = out.bytes() / stride;
    const int64_t *ends = offsets.as<const int64_t>();
    bool rising = columns >= 1 && columns <= stride && ends[0] == 0;
    for (int64_t j = 0; rising && j < columns; j++)
        rising = ends[j] <= ends[j + 1] && ends[j + 1] - ends[j] <= 254;
    if (!rising) return refuse("offsets must rise by at most 254"), nullptr;
    if (!is_array(thresholds, ends[columns], sizeof(double)) || !is_array(out, rows * stride, 1) ||
        !is_array(values, rows * columns, sizeof(float)))
        return nullptr;
    Py_BEGIN_ALLOW_THREADS
    isohash_bins(values.as<const float>(), rows, columns, thresholds.as<const double>(), ends,
                 stride, out.as<uint8_t>());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

// distances(marked, shape, steps, flat, out)
PyObject *distances(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View marked, shape, steps, out;
    int64_t flat;
    if (!has_args(n, 5) || !marked.take(args[0], false) || !shape.take(args[1], false) ||
        !steps.take(args[2], false) || !read_int(args[3], 0, 1, flat) || !out.take(args[4], true) ||
        !is_array(shape, 3, sizeof(int64_t)) || !is_array(steps, 3, sizeof(double)))
        return nullptr;
    const int64_t *size = shape.as<const int64_t>();
    if (size[0] < 1 || size[1] < 1 || size[2] < 1)
        return refuse("a grid has at least one cell along each axis"), nullptr;
    const int64_t cells = marked.bytes();
    if (size[0] > cells || size[1] > cells || size[2] > cells || size[0] * size[1] > cells ||
        size[0] * size[1] * size[2] != cells)
        return refuse("the grid does not fit its shape"), nullptr;
    if (!is_array(out, cells, sizeof(double))) return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_distances(marked.as<const uint8_t>(), size, steps.as<const double>(),
                               static_cast<int32_t>(flat), out.as<double>());
    Py_END_ALLOW_THREADS
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

} // namespace isohash_module
