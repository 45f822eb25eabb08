// The functions of the Python module, which module.cpp lists.
#pragma once

#include "python/module_args.hpp"

namespace isohash_module {

using Function = PyObject *(PyObject *, PyObject *const *, Py_ssize_t);

// searches.cpp
Function topk, matrix, least, within, tables_build, tables_topk;
// encoding.cpp
Function threshold_turns, wrap_symbols, quantise, pack, unpack, symbols, dots;
// points.cpp
Function nearest_points, lloyd;
// alignment.cpp
Function align;
// trees.cpp
Function sum_trees, bins, distances;

} // namespace isohash_module
