// parallel_for on a thread pool of our own: workers spin briefly, then park. The pool is made anew in a forked child;
// a second caller at the same time, and a call from inside a worker, runs serially.
// Work is cut into pieces by the caller from the problem's sizes alone; which thread runs a piece never changes a bit.
#pragma once
#include <cstdint>
#include <type_traits>

namespace atrous {

int num_threads();
void set_num_threads(int threads);  // >= 1
int default_num_threads();          // what affinity and the cgroup's CPU quota allow

// Calls body(context, piece, worker) for every piece in [0, pieces); worker is in [0, threads): a kernel with workspace
// for each worker reads num_threads() once and passes it here.
// The first exception that a body throws is rethrown here, after all workers have stopped.
void run_parallel(int64_t pieces, void (*body)(void*, int64_t, int), void* context, int threads);

namespace {  // per-level units include this: nothing here may be shared between levels

// parallel_for(pieces, [&](int64_t piece, int worker) { ... });
template <typename F>
inline void parallel_for(int64_t pieces, F&& f, int threads = num_threads()) {
  using Body = std::remove_reference_t<F>;
  run_parallel(
      pieces, [](void* context, int64_t piece, int worker) { (*static_cast<Body*>(context))(piece, worker); },
      const_cast<void*>(static_cast<const void*>(&f)), threads);
}

}  // namespace
}  // namespace atrous
