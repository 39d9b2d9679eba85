#include "core/parallel.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace atrous {
namespace {

constexpr int kSpins = 4000;  // about 40 us: longer than the gap between two kernels of a training step

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside_a_job = false;

// The pieces of one thread, a contiguous range: the part of an array that a thread wrote in one kernel it reads in the
// next, out of its own cache.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};

struct Job {
  void (*body)(void*, int64_t, int);
  void* context;
  std::vector<Share> shares;  // one a thread
  std::exception_ptr error;
  std::mutex error_mutex;
};

// A thread that is done with its own share helps with the others'.
void run_pieces(Job& job, int worker) {
  for (size_t i = 0; i < job.shares.size(); ++i) {
    Share& share = job.shares[(static_cast<size_t>(worker) + i) % job.shares.size()];
    for (int64_t piece; (piece = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
      try {
        job.body(job.context, piece, worker);
      } catch (...) {
        std::lock_guard<std::mutex> lock(job.error_mutex);
        if (!job.error) job.error = std::current_exception();
        for (Share& other : job.shares) other.next.store(INT64_MAX / 2, std::memory_order_relaxed);
      }
    }
  }
}

class ThreadPool {
 public:
  // Runs the job on the caller and on at most threads - 1 workers; false when another caller has the pool.
  bool run(Job& job, int threads) {
    std::unique_lock<std::mutex> busy(busy_, std::try_to_lock);
    if (!busy) return false;
    start_workers(threads - 1);
    bool parked;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      wanted_ = threads - 1;
      generation_.fetch_add(1, std::memory_order_release);
      parked = parked_ > 0;
    }
    if (parked) wake_.notify_all();
    run_pieces(job, 0);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = nullptr;  // no piece is left: a worker that comes now is not waited for
    }
    for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins)
      spins < kSpins ? pause() : std::this_thread::yield();
    return true;
  }

 private:
  // Fewer where the system refuses a thread: whoever is there runs all the pieces.
  void start_workers(int count) {
    try {
      for (; workers_ < count; ++workers_)
        std::thread([this, worker = workers_ + 1, seen = generation_.load()] { work(worker, seen); }).detach();
    } catch (const std::exception&) {
    }
  }

  void work(int worker, uint64_t seen) {
    inside_a_job = true;
    for (;;) {
      Job* job = wait_for_job(worker, seen);
      if (!job) continue;  // over already, or it wants fewer threads
      run_pieces(*job, worker);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  // Generation, job and number of workers are read together under the lock, and the worker signs in under it.
  Job* wait_for_job(int worker, uint64_t& seen) {
    for (int spins = 0; spins < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spins) pause();
    std::unique_lock<std::mutex> lock(mutex_);
    ++parked_;
    wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
    --parked_;
    seen = generation_.load(std::memory_order_relaxed);
    if (worker > wanted_ || !job_) return nullptr;
    running_.fetch_add(1, std::memory_order_relaxed);
    return job_;
  }

  std::mutex busy_;   // held by the caller whose job runs
  std::mutex mutex_;  // guards the start of a job against workers that park
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> running_{0};  // workers that signed in and are not done
  int parked_ = 0;               // guarded by mutex_, as are the next two
  int wanted_ = 0;
  Job* job_ = nullptr;
  int workers_ = 0;  // guarded by busy_
};

// Never destroyed: workers run until the process ends. A forked child has none of them and starts a new pool.
ThreadPool*& pool() {
  static ThreadPool* instance = [] {
    pthread_atfork(nullptr, nullptr, [] { pool() = new ThreadPool; });
    return new ThreadPool;
  }();
  return instance;
}

int cgroup_quota() {
  int threads = 0;
#ifdef __linux__
  if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    long long quota, period;
    if (std::fscanf(file, "%lld %lld", &quota, &period) == 2 && period > 0)  // "max 100000" does not match
      threads = static_cast<int>((quota + period - 1) / period);
    std::fclose(file);
  }
#endif
  return threads;
}

std::atomic<int>& thread_setting() {
  static std::atomic<int> value{default_num_threads()};
  return value;
}

}  // namespace

int default_num_threads() {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) threads = CPU_COUNT(&set);
#endif
  const int quota = cgroup_quota();
  if (quota > 0 && quota < threads) threads = quota;
  return threads > 0 ? threads : 1;
}

int num_threads() { return thread_setting().load(std::memory_order_relaxed); }

void set_num_threads(int threads) {
  if (threads < 1 || threads > 1024) throw std::invalid_argument("num_threads must be between 1 and 1024");
  thread_setting().store(threads);
}

void run_parallel(int64_t pieces, void (*body)(void*, int64_t, int), void* context, int threads) {
  if (pieces < threads) threads = static_cast<int>(pieces);
  if (threads > 1 && !inside_a_job) {
    Job job{body, context, std::vector<Share>(static_cast<size_t>(threads)), nullptr, {}};
    for (int t = 0; t < threads; ++t) {
      job.shares[static_cast<size_t>(t)].next.store(pieces * t / threads, std::memory_order_relaxed);
      job.shares[static_cast<size_t>(t)].end = pieces * (t + 1) / threads;
    }
    ThreadPool* const workers = pool();
    inside_a_job = true;
    const bool done = workers->run(job, threads);
    inside_a_job = false;
    if (job.error) std::rethrow_exception(job.error);
    if (done) return;
  }
  for (int64_t piece = 0; piece < pieces; ++piece) body(context, piece, 0);
}

}  // namespace atrous
