// Searches: from arrays of rows to arrays of hits.

#include "python/functions.hpp"

namespace isohash_module {

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

namespace {

// The number of cases that `start` cuts n codes into; below 0: it does not.
int64_t cases_in(const View &start, int64_t n) {
    const int64_t *first = start.as<const int64_t>(), n_cases = start.bytes() / 8 - 1;
    bool fits = start.bytes() % 8 == 0 && n_cases >= 0 && first[0] == 0 && first[n_cases] == n;
    for (int64_t c = 0; fits && c < n_cases; c++) fits = first[c] <= first[c + 1];
    return fits ? n_cases : -1;
}

} // namespace

// least(*scan, allowed, start, least)
PyObject *least(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    View start, out;
    if (!has_args(n, n_scan_args + 3) || !in.read(args) || !in.read_allowed(args[n_scan_args]) ||
        !start.take(args[n_scan_args + 1], false) || !out.take(args[n_scan_args + 2], true))
        return nullptr;
    const int64_t n_cases = cases_in(start, in.scan.n_codes);
    if (n_cases < 0) {
        refuse("start must rise from 0 to the number of codes");
        return nullptr;
    }
    if (!is_array(out, in.scan.n_queries * n_cases, sizeof(int32_t))) return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_least(&in.scan, start.as<const int64_t>(), n_cases, out.as<int32_t>());
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

namespace {

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

} // namespace

// within(*scan, allowed, radius) -> (offsets, distances, positions), as bytes
PyObject *within(PyObject *, PyObject *const *args, Py_ssize_t n) {
    ScanArgs in;
    int64_t radius;
    if (!has_args(n, n_scan_args + 2) || !in.read(args) || !in.read_allowed(args[n_scan_args]) ||
        !read_int(args[n_scan_args + 1], 0, ISOHASH_LARGEST_DISTANCE, radius))
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

namespace {

constexpr const char *tables_name = "isohash.tables";

isohash_tables *tables_in(PyObject *capsule) {
    return static_cast<isohash_tables *>(PyCapsule_GetPointer(capsule, tables_name));
}

void free_tables(PyObject *capsule) { isohash_tables_free(tables_in(capsule)); }

} // namespace

// tables_build(codes, length) -> tables
PyObject *tables_build(PyObject *, PyObject *const *args, Py_ssize_t n) {
    View codes;
    int64_t length;
    if (!has_args(n, 2) || !codes.take(args[0], false) ||
        !read_int(args[1], ISOHASH_SHORTEST_TABLES, ISOHASH_LONGEST_TABLES, length))
        return nullptr;
    const int64_t n_codes = codes.bytes() / 8;
    if (codes.bytes() % 8 || n_codes > ISOHASH_MOST_CODES) {
        refuse("codes must be fewer than 2^32 whole words");
        return nullptr;
    }
    isohash_tables *tables;
    Py_BEGIN_ALLOW_THREADS
    tables = isohash_tables_build(codes.as<const uint8_t>(), n_codes, static_cast<int32_t>(length));
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

} // namespace isohash_module
