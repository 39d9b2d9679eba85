#include "core/peaks.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "core/cpu_features.h"

namespace atrous {
namespace {

constexpr int kRepeats = 20;
using Clock = std::chrono::steady_clock;

// Runs body(thread) on all threads at once, and returns the seconds from their common start to the last one's end.
// Threads of its own: parallel_for does not promise that two pieces run at the same time.
template <typename F>
double timed(int threads, F body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> pool;
  std::vector<Clock::time_point> start(threads), end(threads);
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      for (++ready; ready < threads;) std::this_thread::yield();
      start[t] = Clock::now();
      body(t);
      end[t] = Clock::now();
    });
  for (auto& thread : pool) thread.join();
  const auto first = *std::min_element(start.begin(), start.end()), last = *std::max_element(end.begin(), end.end());
  return std::chrono::duration<double>(last - first).count();
}

}  // namespace

double peak_fma_gflops(int threads) {
  constexpr int64_t kSteps = 2'000'000;
  const PeakKernels kernels = at_level([](auto level) { return peak_kernels<decltype(level)::value>(); });
  std::vector<float> sink(threads);
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const double seconds = timed(threads, [&](int t) { sink[t] = kernels.multiply_adds(kSteps, t + 2.0f); });
    best = std::max(best, 1e-9 * static_cast<double>(kernels.operations * kSteps * threads) / seconds);
  }
  return best;
}

double peak_copy_gbs(int threads) {
  constexpr size_t kBytes = size_t{256} << 20;
  const std::unique_ptr<char[]> from(new char[kBytes]), to(new char[kBytes]);
  std::memset(from.get(), 1, kBytes), std::memset(to.get(), 2, kBytes);  // pages are there before the clock starts
  const size_t share = kBytes / threads;
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const double seconds = timed(threads, [&](int t) { std::memcpy(&to[t * share], &from[t * share], share); });
    best = std::max(best, 2e-9 * static_cast<double>(share * threads) / seconds);
  }
  return best;
}

double core_to_core_ns() {
  if (std::thread::hardware_concurrency() < 2) return 0;
  constexpr int kTurns = 500, kSamples = 101;
  std::vector<double> samples;
  const auto start = Clock::now();  // a busy machine takes turns in milliseconds: no more than a second of that
  while (samples.size() < kSamples && Clock::now() - start < std::chrono::seconds(1)) {
    alignas(128) std::atomic<int> turn{0};
    const double seconds = timed(2, [&](int t) {
      for (int i = t; i < kTurns; i += 2) {
        while (turn.load(std::memory_order_acquire) != i) {
        }
        turn.store(i + 1, std::memory_order_release);
      }
    });
    samples.push_back(seconds / kTurns * 1e9);
  }
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 4];
}

}  // namespace atrous
