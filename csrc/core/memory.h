// Pooled, 64-byte-aligned memory for outputs and workspace. Fresh pages cost more than many a kernel, so blocks are
// kept and handed out again. Sizes are rounded up to one of four steps per power of two: at most 25 % is lost.
#pragma once
#include <cstddef>
#include <cstdint>

namespace atrous {

struct MemoryStats {
  int64_t current;  // bytes in blocks handed out
  int64_t peak;     // largest `current` since the last reset
  int64_t pooled;   // bytes kept for reuse
  int64_t limit;    // cap on `current`, 0 when there is none
};

// Throws std::bad_alloc (Python: MemoryError) when there is no memory or the limit is reached. Any thread may release.
void* allocate(int64_t bytes);
void release(void* block) noexcept;

MemoryStats memory_stats();
void memory_reset_peak();
void memory_empty_cache();
void memory_set_limit(int64_t bytes);  // 0 lifts it
void memory_set_poison(bool enabled);  // fills every block handed out with 0xFF bytes (NaN), for tests
int64_t memory_overruns();             // how many of those, since the last call, came back written past their end

namespace {  // per-level units include this: nothing here may be shared between levels

// Workspace of n elements of T, released at the end of the scope.
template <typename T>
class Workspace {
 public:
  explicit Workspace(int64_t n) : data_(static_cast<T*>(allocate(n * static_cast<int64_t>(sizeof(T))))) {}
  ~Workspace() { release(data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  T* data() const { return data_; }

 private:
  T* data_;
};

}  // namespace
}  // namespace atrous
