// Fitting codes from Python: blocks and levels are as large as the arrays that hold them.

#include "python/functions.hpp"

namespace isohash_module {

// nearest_points(rows, spans, points, offsets, m, threads, out, leads)
PyObject *nearest_points(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View rows, spans, points, offsets, out, leads;
    int64_t m, threads, length = 0;
    if (!has_args(n, 8) || !rows.take(args[0], false) || !spans.take(args[1], false) ||
        !points.take(args[2], false) || !offsets.take(args[3], false) ||
        !read_int(args[4], 8, 65536, m) || !read_int(args[5], 1, ISOHASH_MOST_THREADS, threads) ||
        !out.take(args[6], true) || !leads.take(args[7], true))
        return nullptr;
    const int64_t groups = spans.bytes();
    for (int64_t g = 0; g < groups; g++) length += spans.as<const uint8_t>()[g];
    if (length < 1 || m % 8) return refuse("blocks have axes, and points by eights"), nullptr;
    const int64_t n_rows = rows.bytes() / (length * static_cast<int64_t>(sizeof(float)));
    if (!is_array(rows, n_rows * length, sizeof(float)) ||
        !is_array(points, length * m, sizeof(float)) ||
        !is_array(offsets, groups * m, sizeof(float)) ||
        !is_array(out, n_rows * groups, sizeof(uint16_t)) ||
        !is_array(leads, n_rows * groups, sizeof(float)))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_nearest_points(rows.as<const float>(), n_rows, spans.as<const uint8_t>(),
                                    groups, points.as<const float>(), offsets.as<const float>(), m,
                                    static_cast<int32_t>(threads), out.as<uint16_t>(),
                                    leads.as<float>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

// lloyd(x, sums, n, k, rounds, levels)
PyObject *lloyd(PyObject *, PyObject *const *args, Py_ssize_t count) {
    View x, sums, levels;
    int64_t n, k, rounds;
    if (!has_args(count, 6) || !x.take(args[0], false) || !sums.take(args[1], false) ||
        !read_int(args[2], 1, INT32_MAX, n) || !read_int(args[3], 1, 65536, k) ||
        !read_int(args[4], 0, INT32_MAX, rounds) || !levels.take(args[5], true))
        return nullptr;
    const int64_t columns = levels.bytes() / (k * static_cast<int64_t>(sizeof(double)));
    if (!is_array(levels, columns * k, sizeof(double)) ||
        !is_array(x, columns * n, sizeof(double)) ||
        !is_array(sums, columns * (n + 1), sizeof(double)))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_lloyd(x.as<const double>(), sums.as<const double>(), columns, n, k, rounds,
                           levels.as<double>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

} // namespace isohash_module
