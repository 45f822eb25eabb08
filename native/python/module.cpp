// The Python face of the engine: checks that buffers fit each other, releases the GIL, calls C.
// Only the limited API is used, so one build serves every Python from 3.11 on.

#include "python/module_args.hpp"

namespace {

using namespace isohash_module;

PyObject *none_unless(int failed) {
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyObject *level_status(PyObject *, PyObject *const *args, Py_ssize_t n) {
    int64_t level;
    if (!has_args(n, 1) || !read_int(args[0], 0, ISOHASH_N_LEVELS - 1, level)) return nullptr;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = isohash_level_status(static_cast<int>(level));
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(status);
}

// topk(*scan, allowed, k, distances, positions)
PyObject *topk(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    View distances, positions;
    int64_t k;
    if (!has_args(n, n_scan_args + 4) || !in.read(args) || !in.read_allowed(args[n_scan_args]) ||
        !read_int(args[n_scan_args + 1], 0, in.scan.n_codes, k) ||
        !distances.take(args[n_scan_args + 2], true) ||
        !positions.take(args[n_scan_args + 3], true) ||
        !is_array(distances, in.scan.n_queries * k, sizeof(int32_t)) ||
        !is_array(positions, in.scan.n_queries * k, sizeof(int64_t)))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_topk(&in.scan, k, distances.as<int32_t>(), positions.as<int64_t>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

// matrix(*scan, distances)
PyObject *matrix(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    View distances;
    if (!has_args(n, n_scan_args + 1) || !in.read(args) ||
        !distances.take(args[n_scan_args], true) ||
        !is_array(distances, in.scan.n_queries * in.scan.n_codes, sizeof(int32_t)))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_matrix(&in.scan, distances.as<int32_t>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

// The found hits as bytes of int64 offsets, int32 distances and int64 positions.
PyObject *as_bytes(const isohash_found *found, int64_t n_queries) {
    const int64_t total = isohash_found_total(found);
    PyObject *offsets = PyBytes_FromStringAndSize(nullptr, (n_queries + 1) * 8);
    PyObject *distances = PyBytes_FromStringAndSize(nullptr, total * 4);
    PyObject *positions = PyBytes_FromStringAndSize(nullptr, total * 8);
    PyObject *all = nullptr;
    if (offsets && distances && positions) {
        isohash_found_copy(found, reinterpret_cast<int64_t *>(PyBytes_AsString(offsets)),
                           reinterpret_cast<int32_t *>(PyBytes_AsString(distances)),
                           reinterpret_cast<int64_t *>(PyBytes_AsString(positions)));
        all = PyTuple_Pack(3, offsets, distances, positions);
    }
    Py_XDECREF(offsets);
    Py_XDECREF(distances);
    Py_XDECREF(positions);
    return all;
}

// within(*scan, allowed, radius) -> (offsets, distances, positions), as bytes
PyObject *within(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    int64_t radius;
    if (!has_args(n, n_scan_args + 2) || !in.read(args) || !in.read_allowed(args[n_scan_args]) ||
        !read_int(args[n_scan_args + 1], 0, INT32_MAX / 2 - 1, radius))
        return nullptr;
    isohash_found *found;
    Py_BEGIN_ALLOW_THREADS
    found = isohash_within(&in.scan, static_cast<int32_t>(radius));
    Py_END_ALLOW_THREADS
    if (!found) return PyErr_NoMemory();
    PyObject *result = as_bytes(found, in.scan.n_queries);
    isohash_found_free(found);
    return result;
}

constexpr const char *tables_name = "isohash.tables";

isohash_tables *tables_in(PyObject *capsule) {
    return static_cast<isohash_tables *>(PyCapsule_GetPointer(capsule, tables_name));
}

void free_tables(PyObject *capsule) { isohash_tables_free(tables_in(capsule)); }

// tables_build(codes, length) -> tables
PyObject *tables_build(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View codes;
    int64_t length;
    if (!has_args(n, 2) || !codes.take(args[0], false) || !read_int(args[1], 4, 64, length))
        return nullptr;
    const int64_t n_codes = codes.bytes() / 8;
    if (codes.bytes() % 8 || n_codes > INT64_C(0xffffffff)) {
        refuse("codes must be fewer than 2^32 whole words");
        return nullptr;
    }
    isohash_tables *tables;
    Py_BEGIN_ALLOW_THREADS
    tables = isohash_tables_build(codes.as<const uint8_t>(), n_codes,
                                  static_cast<int32_t>(length));
    Py_END_ALLOW_THREADS
    return tables ? PyCapsule_New(tables, tables_name, free_tables) : PyErr_NoMemory();
}

// tables_topk(*scan, tables, k, most, distances, positions, touched)
PyObject *tables_topk(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    View distances, positions, touched;
    int64_t k, most;
    if (!has_args(n, n_scan_args + 6) || !in.read(args)) return nullptr;
    PyObject *const *rest = args + n_scan_args;
    const isohash_tables *tables = tables_in(rest[0]);
    if (!tables || !read_int(rest[1], 1, in.scan.n_codes, k) ||
        !read_int(rest[2], 0, INT64_MAX / 2, most) || !distances.take(rest[3], true) ||
        !positions.take(rest[4], true) || !touched.take(rest[5], true) ||
        !is_array(distances, in.scan.n_queries * k, sizeof(int32_t)) ||
        !is_array(positions, in.scan.n_queries * k, sizeof(int64_t)) ||
        !is_array(touched, in.scan.n_queries, sizeof(int64_t)))
        return nullptr;
    if (in.scan.row_bytes != 8) {
        refuse("codes of one word are needed");
        return nullptr;
    }
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_tables_topk(tables, &in.scan, k, most, distances.as<int32_t>(),
                                 positions.as<int64_t>(), touched.as<int64_t>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

// The arguments that both encoders begin with: products, m, tolerances, threads, portable,
// borderline, offsets.
constexpr Py_ssize_t n_projection_args = 7;

struct ProjectionArgs {
    isohash_projections in{};
    View products, tolerances, borderline, offsets;

    bool read(PyObject *const *args) {
        int64_t threads, portable;
        if (!products.take(args[0], false) || !read_int(args[1], 1, INT32_MAX, in.m) ||
            !read_int(args[3], 1, 1024, threads) || !read_int(args[4], 0, 1, portable) ||
            !tolerances.take(args[2], false) || !borderline.take(args[5], true) || !offsets.take(args[6], false))
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
    if (!has_args(n, n_projection_args + 2) || !all.read(args) || !read_int(args[7], 2, 256, q) ||
        !symbols.take(args[8], true) || !is_array(symbols, all.in.n * all.in.m, 1))
        return nullptr;
    int64_t count;
    Py_BEGIN_ALLOW_THREADS
    count = isohash_wrap_symbols(&all.in, static_cast<int32_t>(q), symbols.as<uint8_t>());
    Py_END_ALLOW_THREADS
    return count_or_no_memory(count);
}

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

bool all_below(const View &numbers, int64_t end) {
    const int64_t *first = numbers.as<const int64_t>();
    for (int64_t i = 0; i < numbers.bytes() / 8; i++)
        if (first[i] < 0 || first[i] >= end) return refuse("a row does not exist");
    return true;
}

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

template <PyObject *(*function)(PyObject *, PyObject *const *, Py_ssize_t)>
PyMethodDef method(const char *name, const char *doc) {
    // The limited API declares one type for all kinds of methods; METH_FASTCALL tells them apart.
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
            METH_FASTCALL, doc};
}

PyMethodDef methods[] = {
    method<level_status>("level_status", "level_status(level) -> 0 absent, 1 ready, 2 wrong"),
    method<topk>("topk", "topk(*scan, allowed, k, distances, positions)"),
    method<matrix>("matrix", "matrix(*scan, distances)"),
    method<within>("within", "within(*scan, allowed, radius) -> bytes of offsets, distances, "
                             "positions"),
    method<threshold_turns>("threshold_turns",
                            "threshold_turns(*projections, half_widths, packed) -> borderline"),
    method<wrap_symbols>("wrap_symbols", "wrap_symbols(*projections, q, symbols) -> borderline"),
    method<quantise>("quantise",
                     "quantise(*projections, widths, thresholds, indices) -> borderline"),
    method<dots>("dots", "dots(a, b, d, rows, columns, out)"),
    method<pack>("pack", "pack(widths, row_bytes, packed, symbols)"),
    method<unpack>("unpack", "unpack(widths, row_bytes, packed, symbols)"),
    method<tables_build>("tables_build", "tables_build(codes, length) -> tables"),
    method<tables_topk>("tables_topk",
                        "tables_topk(*scan, tables, k, most, distances, positions, touched)"),
    {nullptr, nullptr, 0, nullptr},
};

// Which arguments the functions take: isohash/native.py uses no other build than its own.
constexpr long interface_number = 6;

int add_constants(PyObject *module) {
    return PyModule_AddIntConstant(module, "INTERFACE", interface_number);
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void *>(add_constants)}, {0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "isohash._native",
                          "Compiled kernels; see isohash.native.", 0, methods,
                          slots, nullptr, nullptr, nullptr};

} // namespace

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&definition); }
