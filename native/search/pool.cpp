// Workers block on a condition variable (a spinning worker would steal the core of its neighbour)
// and live as long as the process. A forked child has none of them, and inherits locks in whatever
// state they were: it starts with a pool of its own.

#include "search/pool.hpp"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace isohash {
namespace {

class Pool {
  public:
    // False: another caller's work is under way.
    bool try_run(int64_t n, const std::function<void(int64_t)> &work) {
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        if (!turn.owns_lock()) return false;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            add_workers(n - 1);
            work_ = &work;
            next_ = 0;
            n_ = n;
            unfinished_ = n;
        }
        wake_.notify_all();
        work_off();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return unfinished_ == 0; });
        return true;
    }

  private:
    void add_workers(int64_t wanted) {
        while (n_workers_ < wanted) {
            try {
                std::thread([this] { serve(); }).detach();
            } catch (const std::system_error &) {
                return; // no more threads to be had: those there are do the work
            }
            n_workers_++;
        }
    }

    void serve() {
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [this] { return next_ < n_; });
            }
            work_off();
        }
    }

    // Does items until none is left to begin.
    void work_off() {
        for (;;) {
            int64_t item;
            const std::function<void(int64_t)> *work;
            {
                std::lock_guard<std::mutex> lock(mutex_);
                if (next_ >= n_) return;
                item = next_++;
                work = work_;
            }
            (*work)(item);
            std::lock_guard<std::mutex> lock(mutex_);
            if (--unfinished_ == 0) done_.notify_one();
        }
    }

    std::mutex turn_;  // held by the caller whose work is under way
    std::mutex mutex_; // guards what follows
    std::condition_variable wake_, done_;
    const std::function<void(int64_t)> *work_ = nullptr;
    int64_t next_ = 0, n_ = 0, unfinished_ = 0, n_workers_ = 0;
};

Pool *pool = nullptr;
std::once_flag pool_made;

// The old pool is not freed: its locks may be held by threads that the child does not have.
void replace_pool() { pool = new Pool; }

void make_pool() {
    replace_pool();
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, replace_pool);
#endif
}

} // namespace

void run_parallel(int64_t n, const std::function<void(int64_t)> &work) {
    std::call_once(pool_made, make_pool);
    if (n > 1 && pool->try_run(n, work)) return;
    for (int64_t i = 0; i < n; i++) work(i);
}

} // namespace isohash
