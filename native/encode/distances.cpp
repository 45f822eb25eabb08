// Exact Euclidean distances on a grid, one axis after the other.
//
// The squared distance to the nearest marked cell is a lower envelope of parabolas along each line
// (Felzenszwalb and Huttenlocher, Theory of Computing 8 (2012) 415-428).

#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "isohash.h"

namespace isohash {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

// The least of (step (i - j))^2 + values[j] over j, for every i of a line.
class Envelope {
  public:
    Envelope(int64_t n, double step) : step2_(step * step), at_(n), from_(n + 1), best_(n) {}

    void lower(double *values, int64_t n, int64_t stride) {
        int64_t k = -1;
        for (int64_t i = 0; i < n; i++) {
            const double own = values[i * stride];
            best_[i] = own;
            if (own == infinite) continue;
            double meet = -infinite;
            while (k >= 0 && (meet = crossing(at_[k], i)) <= from_[k]) k--;
            if (k < 0) meet = -infinite;
            at_[++k] = i;
            from_[k] = meet;
        }
        if (k < 0) return; // no marked cell reaches this line
        for (int64_t i = 0, j = 0; i < n; i++) {
            while (j < k && from_[j + 1] <= static_cast<double>(i)) j++;
            const double apart = static_cast<double>(i - at_[j]);
            values[i * stride] = best_[at_[j]] + apart * apart * step2_;
        }
    }

  private:
    // Where the parabola of j begins to lie below that of the earlier i.
    double crossing(int64_t i, int64_t j) const {
        const double a = static_cast<double>(i), b = static_cast<double>(j);
        return ((best_[j] - best_[i]) / step2_ + b * b - a * a) / (2 * (b - a));
    }

    double step2_;
    std::vector<int64_t> at_;
    std::vector<double> from_, best_;
};

} // namespace
} // namespace isohash

int isohash_distances(const uint8_t *marked, const int64_t *shape, const double *steps,
                      int32_t flat, double *out) try {
    using namespace isohash;
    const int64_t planes = shape[0], rows = shape[1], columns = shape[2], plane = rows * columns;
    for (int64_t i = 0; i < planes * plane; i++) out[i] = marked[i] ? 0 : infinite;
    if (!flat) {
        Envelope along(planes, steps[0]);
        for (int64_t i = 0; i < plane; i++) along.lower(out + i, planes, plane);
    }
    Envelope down(rows, steps[1]), across(columns, steps[2]);
    for (int64_t z = 0; z < planes; z++) {
        double *const first = out + z * plane;
        for (int64_t x = 0; x < columns; x++) down.lower(first + x, rows, columns);
        for (int64_t y = 0; y < rows; y++) across.lower(first + y * columns, columns, 1);
    }
    for (int64_t i = 0; i < planes * plane; i++) out[i] = std::sqrt(out[i]);
    return 0;
} catch (const std::bad_alloc &) {
    return 1;
}
