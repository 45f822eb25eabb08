// A small pool of threads that sleep between calls.
#pragma once

#include <cstdint>
#include <functional>

namespace isohash {

// Calls work(0), ..., work(n - 1), spread over the calling thread and up to n - 1 others.
// Where the pool is busy with another caller's work, this thread does all of it alone.
void run_parallel(int64_t n, const std::function<void(int64_t)> &work);

} // namespace isohash
