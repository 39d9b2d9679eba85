// What this machine can do at best, for the benchmarks: prints JSON. Stand-alone: machine.py builds and runs it as
//   c++ -O3 -march=native -ffp-contract=fast -pthread machine.cpp -o machine && ./machine THREADS
// (or ./machine ping-pong).
// - fma_gflops: independent multiply-adds of float32 on full vectors held in registers, all threads, best of 20
// - copy_gbs: memcpy of 256 MB between arrays larger than any cache, read + written bytes, all threads, best of 20
// - ping_pong_ns: the time in which a cache line that two threads write in turn crosses to the other core, median of
// 101
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kVectorBytes)));

constexpr int kRepeats = 20;
using Clock = std::chrono::steady_clock;

// Runs body(thread) on all threads at once, and returns the seconds from their common start to the last one's end.
template <typename F>
double timed(int threads, F body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> pool;
  std::vector<Clock::time_point> start(threads), end(threads);
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      for (++ready; ready < threads;) {
      }
      start[t] = Clock::now();
      body(t);
      end[t] = Clock::now();
    });
  for (auto& thread : pool) thread.join();
  const auto first = *std::min_element(start.begin(), start.end()), last = *std::max_element(end.begin(), end.end());
  return std::chrono::duration<double>(last - first).count();
}

double fma_gflops(int threads) {
  constexpr int kChains = 12, kSteps = 2'000'000;  // 12: two units times a latency of 4, and a little more
  constexpr int kLanes = kVectorBytes / sizeof(float);
  std::vector<float> sink(threads);
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const double seconds = timed(threads, [&](int t) {
      Vector sum[kChains], factor = Vector{} + 0.999f, term = Vector{} + 0.001f;
      for (int i = 0; i < kChains; ++i) sum[i] = Vector{} + (t + i + 2.0f);  // equal or constant chains would be merged
      for (int step = 0; step < kSteps; ++step)
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
      Vector total = {};
      for (int i = 0; i < kChains; ++i) total += sum[i];
      sink[t] = total[0];  // used, so that nothing is optimised away
    });
    best = std::max(best, 2.0 * kChains * kLanes * kSteps * threads / seconds * 1e-9);
  }
  return best;
}

double copy_gbs(int threads) {
  constexpr size_t kBytes = 256 << 20;
  char *from = static_cast<char*>(std::malloc(kBytes)), *to = static_cast<char*>(std::malloc(kBytes));
  if (!from || !to) return 0;
  std::memset(from, 1, kBytes), std::memset(to, 2, kBytes);  // pages are there before the clock starts
  const size_t share = kBytes / threads;
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat)
    best = std::max(best, 2.0 * share * threads * 1e-9 /
                              timed(threads, [&](int t) { std::memcpy(to + t * share, from + t * share, share); }));
  std::free(from), std::free(to);
  return best;
}

double ping_pong_ns() {
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

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads > 0)
    std::printf("{\"fma_gflops\": %.1f, \"copy_gbs\": %.1f, ", fma_gflops(threads), copy_gbs(threads));
  else
    std::printf("{");  // the ping-pong alone
  if (std::thread::hardware_concurrency() > 1)
    std::printf("\"ping_pong_ns\": %.0f}\n", ping_pong_ns());
  else
    std::printf("\"ping_pong_ns\": null}\n");
}
