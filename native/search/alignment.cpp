// Monotone matching of a query's slices with those of cases: dynamic time warping with free ends.
//
// Every step is the same sum or minimum, in the same order, as in retrieval/alignment.py: totals
// and matchings are equal to the last bit.

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "isohash.h"

namespace isohash {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr int64_t outside = -1;

// The least totals up to one slice of the query: where it moved on to each rung, and where it
// shares the rung of the slice before; `out` where it lies beyond the case's end.
struct State {
    std::vector<double> moved, stayed;
    double out = infinite;
    explicit State(size_t n) : moved(n, infinite), stayed(n, infinite) {}
    double inside(size_t rung) const { return std::min(moved[rung], stayed[rung]); }
};

// By how many rungs a match may move on where the query does by `gap`.
struct Steps {
    int64_t first, last;
    explicit Steps(int64_t gap) : first(std::max<int64_t>(1, (gap + 1) / 2)), last(2 * gap) {}
};

// One case: its rungs, and what each costs.
class Case {
  public:
    Case(const isohash_alignment &in, int64_t c)
        : in_(in), slice_(in.slice + in.start[c]), n_(in.start[c + 1] - in.start[c]),
          price_(in.price[c]), end_price_(in.free_ends ? 0.0 : in.price[c]),
          over_(std::max<int64_t>(0, in.at[in.n_query - 1] + 1 - n_)) {}

    int64_t rungs() const { return n_; }
    double cost(int64_t row, int64_t rung) const {
        return in_.costs[row * in_.n_stored + slice_[rung]];
    }

    void first(State &state) const {
        for (int64_t r = 0; r < n_; r++)
            state.moved[r] = cost(0, r) + end_price_ * static_cast<double>(r);
    }

    // `outside_cost` is what it costs to enter only here: the slices before lie outside.
    void next(const State &before, int64_t row, double outside_cost, State &state) const {
        const int64_t gap = gap_of(row);
        const Steps steps(gap);
        std::fill(state.moved.begin(), state.moved.end(), infinite);
        for (int64_t step = steps.first; step <= steps.last && step < n_; step++)
            take_step(before, step, price_ * static_cast<double>(std::llabs(step - gap)), state);
        if (in_.at[row - 1] < over_) state.moved[0] = std::min(state.moved[0], outside_cost);
        for (int64_t r = 0; r < n_; r++) {
            const double own = cost(row, r);
            state.moved[r] += own;
            state.stayed[r] = (gap == 1 ? before.moved[r] + price_ : infinite) + own;
        }
        const double leaves = may_leave(row) ? before.inside(n_ - 1) : infinite;
        const double spent = cost(row, n_ - 1) + price_ * static_cast<double>(gap);
        state.out = std::min(before.out, leaves) + spent;
    }

    // What it costs to enter at a row, beside the costs of the slices before it.
    double entering(int64_t row) const { return price_ * static_cast<double>(in_.at[row]); }
    double end(const State &last, int64_t rung) const {
        return last.inside(rung) + end_price_ * static_cast<double>(n_ - 1 - rung);
    }
    int64_t nearest_end(const State &last) const {
        int64_t best = 0;
        for (int64_t r = 1; r < n_; r++)
            if (end(last, r) < end(last, best)) best = r;
        return best;
    }
    bool left_here(const State &before, int64_t row) const {
        return may_leave(row) && before.inside(n_ - 1) <= before.out;
    }
    int64_t came_from(const State &before, int64_t row, int64_t rung) const {
        const int64_t gap = gap_of(row);
        const Steps steps(gap);
        int64_t best = steps.first;
        double least = infinite;
        for (int64_t step = steps.first; step <= steps.last && step <= rung; step++) {
            const double price = price_ * static_cast<double>(std::llabs(step - gap));
            const double total = before.inside(rung - step) + price;
            if (total < least) least = total, best = step;
        }
        return rung - best;
    }

  private:
    int64_t gap_of(int64_t row) const { return in_.at[row] - in_.at[row - 1]; }
    bool may_leave(int64_t row) const { return in_.at[in_.n_query - 1] - in_.at[row] < over_; }

    void take_step(const State &before, int64_t step, double price, State &state) const {
        const double *moved = before.moved.data(), *stayed = before.stayed.data();
        double *found = state.moved.data() + step;
        for (int64_t r = 0; r < n_ - step; r++)
            found[r] = std::min(found[r], std::min(moved[r], stayed[r]) + price);
    }

    const isohash_alignment &in_;
    const int64_t *slice_;
    int64_t n_;
    double price_, end_price_;
    int64_t over_;
};

// Shows `visit` the state after each slice of the query but the first; `at` gives where it is kept.
template <class At> void walk(const isohash_alignment &in, const Case &one, At at) {
    one.first(at(0));
    double spent = one.cost(0, 0);
    for (int64_t row = 1; row < in.n_query; row++) {
        one.next(at(row - 1), row, spent + one.entering(row), at(row));
        spent += one.cost(row, 0);
    }
}

// From the last slice of the query back to the first: the rung of each.
void way_back(const Case &one, const std::vector<State> &states, int64_t *rungs) {
    int64_t row = static_cast<int64_t>(states.size()) - 1;
    int64_t at = one.nearest_end(states[row]);
    if (one.end(states[row], at) > states[row].out) {
        while (!one.left_here(states[row - 1], row)) rungs[row--] = outside;
        rungs[row--] = outside;
        at = one.rungs() - 1;
    }
    rungs[row] = at;
    for (bool free = true; row > 0;) {
        const State &state = states[row];
        if (free && state.stayed[at] < state.moved[at]) {
            free = false; // the slice before has moved here
        } else if (at == 0) {
            std::fill(rungs, rungs + row, outside);
            return;
        } else {
            at = one.came_from(states[row - 1], row, at);
            free = true;
        }
        rungs[--row] = at;
    }
}

double total_of(const Case &one, const State &last) {
    return std::min(one.end(last, one.nearest_end(last)), last.out);
}

double least_total(const isohash_alignment &in, const Case &one) {
    State states[2] = {State(one.rungs()), State(one.rungs())};
    walk(in, one, [&](int64_t row) -> State & { return states[row & 1]; });
    return total_of(one, states[(in.n_query - 1) & 1]);
}

double matched(const isohash_alignment &in, const Case &one, int64_t *rungs) {
    std::vector<State> states(in.n_query, State(one.rungs()));
    walk(in, one, [&](int64_t row) -> State & { return states[row]; });
    way_back(one, states, rungs);
    return total_of(one, states.back());
}

} // namespace
} // namespace isohash

extern "C" int isohash_align(const struct isohash_alignment *in, double *totals, int64_t *rungs) {
    try {
        for (int64_t c = 0; c < in->n_cases; c++) {
            const isohash::Case one(*in, c);
            if (!one.rungs())
                totals[c] = isohash::infinite;
            else if (rungs)
                totals[c] = isohash::matched(*in, one, rungs + c * in->n_query);
            else
                totals[c] = isohash::least_total(*in, one);
        }
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}
