// Arguments of the Python module's functions, checked against each other.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>

#include "isohash.h"

namespace isohash_module {

// A buffer of an argument, released when it goes out of scope.
class View {
  public:
    View() = default;
    View(const View &) = delete;
    View &operator=(const View &) = delete;
    ~View() {
        if (held_) PyBuffer_Release(&buffer_);
    }
    bool take(PyObject *object, bool writable) {
        const int flags = writable ? PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE : PyBUF_C_CONTIGUOUS;
        held_ = PyObject_GetBuffer(object, &buffer_, flags) == 0;
        return held_;
    }
    int64_t bytes() const { return buffer_.len; }
    template <class T> T *as() const { return static_cast<T *>(buffer_.buf); }

  private:
    Py_buffer buffer_{};
    bool held_ = false;
};

inline bool refuse(const char *reason) {
    PyErr_SetString(PyExc_ValueError, reason);
    return false;
}

inline bool read_int(PyObject *object, int64_t least, int64_t most, int64_t &out) {
    out = PyLong_AsLongLong(object);
    if (out == -1 && PyErr_Occurred()) return false;
    return (least <= out && out <= most) || refuse("a number is out of range");
}

inline bool has_args(Py_ssize_t n, Py_ssize_t expected) {
    return n == expected || refuse("wrong number of arguments");
}

// The arguments that all searches share, in this order:
// level, metric, q, scale, threads, symbol_bits, row_bytes, queries, codes.
constexpr Py_ssize_t n_scan_args = 9;

struct ScanArgs {
    isohash_scan scan{};
    View queries, codes, allowed;

    bool read(PyObject *const *args) {
        int64_t level, metric, q, scale, threads, symbol_bits;
        if (!read_int(args[0], 0, ISOHASH_N_LEVELS - 1, level) ||
            !read_int(args[1], 0, ISOHASH_N_METRICS - 1, metric) ||
            !read_int(args[2], 2, ISOHASH_LARGEST_Q, q) || !read_int(args[3], 1, 2, scale) ||
            !read_int(args[4], 1, ISOHASH_MOST_THREADS, threads) ||
            !read_int(args[5], 1, 16, symbol_bits) ||
            !read_int(args[6], 1, INT32_MAX, scan.row_bytes) || !queries.take(args[7], false) ||
            !codes.take(args[8], false))
            return false;
        scan.level = static_cast<int32_t>(level);
        scan.metric = static_cast<int32_t>(metric);
        scan.q = static_cast<int32_t>(q);
        scan.scale = static_cast<int32_t>(scale);
        scan.threads = static_cast<int32_t>(threads);
        scan.symbol_bits = static_cast<int32_t>(symbol_bits);
        return fill_rows() && (isohash_level_status(scan.level) == ISOHASH_READY ||
                               refuse("this level cannot run here"));
    }

    bool read_allowed(PyObject *object) {
        if (object == Py_None) return true;
        if (!allowed.take(object, false)) return false;
        scan.allowed = allowed.as<const uint8_t>();
        return allowed.bytes() == scan.n_codes || refuse("one mask byte per code is needed");
    }

  private:
    bool symbols_fit() const {
        const int32_t bits = scan.symbol_bits;
        if (scan.metric == ISOHASH_HAMMING) return bits == 1;
        return (bits == 4 || bits == 8 || bits == 16) && scan.q <= 1 << bits;
    }

    bool fill_rows() {
        const int64_t row = scan.row_bytes;
        if (!symbols_fit()) return refuse("symbols have 1 bit (hamming), 4, 8 or 16");
        if (scan.metric == ISOHASH_HAMMING && row % 8) return refuse("bits come in 64-bit words");
        if (scan.symbol_bits == 16 && row % 2) return refuse("half a symbol is missing");
        if (queries.bytes() % row || codes.bytes() % row) return refuse("a row is incomplete");
        scan.queries = queries.as<const uint8_t>();
        scan.codes = codes.as<const uint8_t>();
        scan.n_queries = queries.bytes() / row;
        scan.n_codes = codes.bytes() / row;
        return scan.n_codes <= ISOHASH_MOST_CODES || refuse("more than 2^32 - 1 codes");
    }
};

inline PyObject *none_unless(int failed) {
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

inline bool is_array(const View &view, int64_t n, size_t item_bytes) {
    return view.bytes() == n * static_cast<int64_t>(item_bytes) ||
           refuse("an output array has the wrong size");
}

} // namespace isohash_module
