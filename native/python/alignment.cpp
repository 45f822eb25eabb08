// Matching slices from Python: places that lead out of the costs are refused.

#include "python/functions.hpp"

namespace isohash_module {
namespace {

// Whether numbers rise from 0, or never fall where `flat`; the last is at most `most`.
bool rises(const int64_t *numbers, int64_t n, bool flat, int64_t most) {
    for (int64_t i = 0; i < n; i++)
        if (i ? numbers[i] < numbers[i - 1] + (flat ? 0 : 1) : numbers[0] != 0) return false;
    return numbers[n - 1] <= most;
}

constexpr int64_t most_rungs = int64_t{1} << 40; // sums of such places are places

struct AlignmentArgs {
    isohash_alignment in{};
    View costs, slice, start, at, price;

    // costs, slice, start, at, price, free_ends
    bool read(PyObject *const *args) {
        int64_t free_ends;
        if (!costs.take(args[0], false) || !slice.take(args[1], false) ||
            !start.take(args[2], false) || !at.take(args[3], false) ||
            !price.take(args[4], false) || !read_int(args[5], 0, 1, free_ends))
            return false;
        in.n_query = at.bytes() / 8;
        in.n_cases = price.bytes() / 8;
        if (!in.n_query) return refuse("a query has slices");
        in.n_stored = costs.bytes() / 8 / in.n_query;
        in.costs = costs.as<const double>();
        in.slice = slice.as<const int64_t>();
        in.start = start.as<const int64_t>();
        in.at = at.as<const int64_t>();
        in.price = price.as<const double>();
        in.free_ends = static_cast<int32_t>(free_ends);
        return is_array(costs, in.n_query * in.n_stored, 8) && is_array(start, in.n_cases + 1, 8) &&
               is_array(at, in.n_query, 8) && is_array(price, in.n_cases, 8) && stays_inside();
    }

  private:
    bool stays_inside() const {
        const int64_t n = slice.bytes() / 8;
        if (!is_array(slice, n, 8)) return false;
        if (!rises(in.start, in.n_cases + 1, true, n) || in.start[in.n_cases] != n)
            return refuse("the cases do not fill their rungs");
        if (!rises(in.at, in.n_query, false, most_rungs))
            return refuse("the rungs of a query rise from 0");
        for (int64_t i = 0; i < n; i++)
            if (in.slice[i] < 0 || in.slice[i] >= in.n_stored) return refuse("a rung has no slice");
        return true;
    }
};

} // namespace

// align(costs, slice, start, at, price, free_ends, totals, rungs or None)
PyObject *align(PyObject *, PyObject *const *args, Py_ssize_t n) {
    AlignmentArgs all;
    View totals, rungs;
    if (!has_args(n, 8) || !all.read(args) || !totals.take(args[6], true) ||
        !is_array(totals, all.in.n_cases, 8))
        return nullptr;
    const bool told = args[7] != Py_None;
    if (told &&
        (!rungs.take(args[7], true) || !is_array(rungs, all.in.n_cases * all.in.n_query, 8)))
        return nullptr;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = isohash_align(&all.in, totals.as<double>(), told ? rungs.as<int64_t>() : nullptr);
    Py_END_ALLOW_THREADS
    return none_unless(failed);
}

} // namespace isohash_module
