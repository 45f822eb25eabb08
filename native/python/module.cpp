// The Python face of the engine: checks that buffers fit each other, releases the GIL, calls C.
// Only the limited API is used, so one build serves every Python from 3.11 on.

#include "python/functions.hpp"

namespace {

using namespace isohash_module;

PyObject *level_status(PyObject *, PyObject *const *args, Py_ssize_t n) {
    int64_t level;
    if (!has_args(n, 1) || !read_int(args[0], 0, ISOHASH_N_LEVELS - 1, level)) return nullptr;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = isohash_level_status(static_cast<int>(level));
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(status);
}

template <Function *function> PyMethodDef method(const char *name, const char *doc) {
    // The limited API declares one type for all kinds of methods; METH_FASTCALL tells them apart.
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
            METH_FASTCALL, doc};
}

PyMethodDef methods[] = {
    method<level_status>("level_status", "level_status(level) -> 0 absent, 1 ready, 2 wrong"),
    method<topk>("topk", "topk(*scan, allowed, k, distances, positions)"),
    method<matrix>("matrix", "matrix(*scan, distances)"),
    method<least>("least", "least(*scan, allowed, start, least)"),
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
    method<symbols>("symbols",
                    "symbols(packed, row_bytes, widths, spans, values, threads, symbols)"),
    method<nearest_points>("nearest_points",
                           "nearest_points(rows, spans, points, offsets, m, threads, out, leads)"),
    method<lloyd>("lloyd", "lloyd(x, sums, n, k, rounds, levels)"),
    method<tables_build>("tables_build", "tables_build(codes, length) -> tables"),
    method<tables_topk>("tables_topk",
                        "tables_topk(*scan, tables, k, most, distances, positions, touched)"),
    method<sum_trees>("sum_trees", "sum_trees(starts, feature, cut, left, values, base, features, "
                                   "bins, threads, out)"),
    method<bins>("bins", "bins(values, thresholds, offsets, stride, bins)"),
    method<distances>("distances", "distances(marked, shape, steps, flat, out)"),
    method<align>("align", "align(costs, slice, start, at, price, free_ends, totals, rungs)"),
    {nullptr, nullptr, 0, nullptr},
};

// Which arguments the functions take: isohash/native/extension.py uses no other build than its own.
constexpr long interface_number = 10;

int add_constants(PyObject *module) {
    return PyModule_AddIntConstant(module, "INTERFACE", interface_number);
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void *>(add_constants)}, {0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "isohash._native",
                          "Compiled kernels; see isohash.native.",
                          0,
                          methods,
                          slots,
                          nullptr,
                          nullptr,
                          nullptr};

} // namespace

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&definition); }
