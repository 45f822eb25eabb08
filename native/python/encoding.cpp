// Encoding: from projections to symbols, and symbols as they are stored.

#include "python/functions.hpp"

namespace isohash_module {

namespace {

// The arguments that both encoders begin with: products, m, tolerances, threads, portable,
// borderline, offsets.
constexpr Py_ssize_t n_projection_args = 7;

struct ProjectionArgs {
    isohash_projections in{};
    View products, tolerances, borderline, offsets;

    bool read(PyObject *const *args) {
        int64_t threads, portable;
        if (!products.take(args[0], false) || !read_int(args[1], 1, INT32_MAX, in.m) ||
            !read_int(args[3], 1, ISOHASH_MOST_THREADS, threads) ||
            !read_int(args[4], 0, 1, portable) || !tolerances.take(args[2], false) ||
            !borderline.take(args[5], true) || !offsets.take(args[6], false))
            return false;
        const int64_t row_bytes = in.m * static_cast<int64_t>(sizeof(float));
        if (products.bytes() % row_bytes || offsets.bytes() != row_bytes)
            return refuse("a row is incomplete");
        in.products = products.as<const float>();
        in.offsets = offsets.as<const float>();
        in.n = products.bytes() / row_bytes;
        if (tolerances.bytes() != in.n * static_cast<int64_t>(sizeof(float)))
            return refuse("one tolerance per row is needed");
        in.tolerances = tolerances.as<const float>();
        in.threads = static_cast<int32_t>(threads);
        in.portable = static_cast<int32_t>(portable);
        in.borderline = borderline.as<int64_t>();
        in.capacity = borderline.bytes() / static_cast<int64_t>(sizeof(int64_t));
        return true;
    }
};

PyObject *count_or_no_memory(int64_t count) {
    return count < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(count);
}

} // namespace

// threshold_turns(*projections, half_widths, packed) -> number of borderline values
PyObject *threshold_turns(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ProjectionArgs all;
    View half_widths, packed;
    if (!has_args(n, n_projection_args + 2) || !all.read(args) ||
        !half_widths.take(args[7], false) || !packed.take(args[8], true) ||
        !is_array(half_widths, all.in.m, sizeof(float)) ||
        !is_array(packed, all.in.n * ((all.in.m + 7) / 8), 1))
        return nullptr;
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = isohash_threshold_turns(&all.in, half_widths.as<const float>(), packed.as<uint8_t>());
    Py_END_ALLOW_THREADS
    return count_or_no_memory(count);
}

// wrap_symbols(*projections, q, symbols) -> number of borderline values
PyObject *wrap_symbols(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ProjectionArgs all;
    View symbols;
    int64_t q;
    if (!has_args(n, n_projection_args + 2) || !all.read(args) ||
        !read_int(args[7], 2, ISOHASH_LARGEST_WRAPPED_Q, q) || !symbols.take(args[8], true) ||
        !is_array(symbols, all.in.n * all.in.m, 1))
        return nullptr;
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = isohash_wrap_symbols(&all.in, static_cast<int32_t>(q), symbols.as<uint8_t>());
    Py_END_ALLOW_THREADS
    return count_or_no_memory(count);
}

namespace {

bool has_thresholds(const View &widths, int64_t m, const View &thresholds) {
    if (!is_array(widths, m, 1)) return false;
    int64_t total = 0;
    for (int64_t j = 0; j < m; j++) {
        const uint8_t width = widths.as<const uint8_t>()[j];
        if (width < 1 || width > 16) return refuse("a symbol has 1 to 16 bits");
        total += (int64_t{1} << width) - 1;
    }
    return is_array(thresholds, total, sizeof(float));
}

} // namespace

// quantise(*projections, widths, thresholds, indices) -> number of borderline values
PyObject *quantise(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ProjectionArgs all;
    View widths, thresholds, indices;
    if (!has_args(n, n_projection_args + 3) || !all.read(args) || !widths.take(args[7], false) ||
        !thresholds.take(args[8], false) || !indices.take(args[9], true) ||
        !has_thresholds(widths, all.in.m, thresholds) ||
        !is_array(indices, all.in.n * all.in.m, sizeof(uint16_t)))
        return nullptr;
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = isohash_quantise(&all.in, widths.as<const uint8_t>(), thresholds.as<const float>(),
                             indices.as<uint16_t>());
    Py_END_ALLOW_THREADS
    return count_or_no_memory(count);
}

namespace {

// What packing and unpacking need: widths, row_bytes, packed, symbols.
struct PackingArgs {
    View widths, packed, symbols;
    int64_t n = 0, length = 0, row_bytes = 0;

    bool read(PyObject *const *args, bool pack) {
        if (!widths.take(args[0], false) || !read_int(args[1], 1, INT32_MAX, row_bytes) ||
            !packed.take(args[2], pack) || !symbols.take(args[3], !pack))
            return false;
        length = widths.bytes();
        n = packed.bytes() / row_bytes;
        return widths_fit() && is_array(packed, n * row_bytes, 1) &&
               is_array(symbols, n * length, sizeof(uint16_t));
    }

  private:
    bool widths_fit() const {
        int64_t bits = 0;
        for (int64_t j = 0; j < length; j++) {
            const uint8_t width = widths.as<const uint8_t>()[j];
            if (width < 1 || width > 16) return refuse("a symbol has 1 to 16 bits");
            bits += width;
        }
        return bits <= 8 * row_bytes || refuse("the symbols do not fit a row");
    }
};

} // namespace

// pack(widths, row_bytes, packed, symbols)
PyObject *pack(PyObject *, PyObject *const *args, Py_ssize_t n) {
    PackingArgs all;
    if (!has_args(n, 4) || !all.read(args, true)) return nullptr;
    Py_BEGIN_ALLOW_THREADS
    isohash_pack(all.symbols.as<const uint16_t>(), all.n, all.length,
                 all.widths.as<const uint8_t>(), all.row_bytes, all.packed.as<uint8_t>());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

// unpack(widths, row_bytes, packed, symbols)
PyObject *unpack(PyObject *, PyObject *const *args, Py_ssize_t n) {
    PackingArgs all;
    if (!has_args(n, 4) || !all.read(args, false)) return nullptr;
    Py_BEGIN_ALLOW_THREADS
    isohash_unpack(all.packed.as<const uint8_t>(), all.n, all.length,
                   all.widths.as<const uint8_t>(), all.row_bytes, all.symbols.as<uint16_t>());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

namespace {

// Whether `values` holds all rows of all groups, and packed rows and `symbols` hold all groups.
bool groups_fit(const View &widths, const View &spans, const View &values, int64_t row_bytes,
                int64_t n, const View &symbols) {
    if (!is_array(spans, widths.bytes(), 1)) return false;
    int64_t bits = 0, length = 0, total = 0;
    for (int64_t g = 0; g < widths.bytes(); g++) {
        const uint8_t width = widths.as<const uint8_t>()[g], span = spans.as<const uint8_t>()[g];
        if (width < 1 || width > 16) return refuse("a symbol has 1 to 16 bits");
        bits += width;
        length += span;
        total += int64_t{span} << width;
    }
    if (bits > 8 * row_bytes) return refuse("the symbols do not fit a row");
    return is_array(values, total, sizeof(uint16_t)) &&
           is_array(symbols, n * length, sizeof(uint16_t));
}

} // namespace

// symbols(packed, row_bytes, widths, spans, values, threads, symbols)
PyObject *symbols(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View packed, widths, spans, values, out;
    int64_t row_bytes, threads;
    if (!has_args(n, 7) || !packed.take(args[0], false) ||
        !read_int(args[1], 1, INT32_MAX, row_bytes) || !widths.take(args[2], false) ||
        !spans.take(args[3], false) || !values.take(args[4], false) ||
        !read_int(args[5], 1, ISOHASH_MOST_THREADS, threads) || !out.take(args[6], true))
        return nullptr;
    const int64_t rows = packed.bytes() / row_bytes;
    if (!is_array(packed, rows * row_bytes, 1) ||
        !groups_fit(widths, spans, values, row_bytes, rows, out))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed =
        isohash_symbols(packed.as<const uint8_t>(), rows, row_bytes, widths.as<const uint8_t>(),
                        spans.as<const uint8_t>(), widths.bytes(), values.as<const uint16_t>(),
                        static_cast<int32_t>(threads), out.as<uint16_t>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

namespace {

bool all_below(const View &numbers, int64_t end) {
    const int64_t *first = numbers.as<const int64_t>();
    for (int64_t i = 0; i < numbers.bytes() / 8; i++)
        if (first[i] < 0 || first[i] >= end) return refuse("a row does not exist");
    return true;
}

} // namespace

// dots(a, b, d, rows, columns, out)
PyObject *dots(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View a, b, rows, columns, out;
    int64_t d;
    if (!has_args(n, 6) || !a.take(args[0], false) || !b.take(args[1], false) ||
        !read_int(args[2], 1, INT32_MAX, d) || !rows.take(args[3], false) ||
        !columns.take(args[4], false) || !out.take(args[5], true))
        return nullptr;
    const int64_t row_bytes = d * static_cast<int64_t>(sizeof(float)), pairs = out.bytes() / 8;
    if (!is_array(rows, pairs, 8) || !is_array(columns, pairs, 8) || !is_array(out, pairs, 8) ||
        !all_below(rows, a.bytes() / row_bytes) || !all_below(columns, b.bytes() / row_bytes))
        return nullptr;
    Py_BEGIN_ALLOW_THREADS
    isohash_dots(a.as<const float>(), b.as<const float>(), d, rows.as<const int64_t>(),
                 columns.as<const int64_t>(), pairs, out.as<double>());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

} // namespace isohash_module
