#include "core/memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace atrous {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{1} << 21;
constexpr int kClasses = 4 * 48;
constexpr int64_t kGuard = 256;  // bytes behind a poisoned block that nobody may write

// Python sees a MemoryError with this message.
class OutOfMemory : public std::bad_alloc {
 public:
  OutOfMemory(int64_t bytes, const char* why) {
    std::snprintf(message_, sizeof message_, "no memory for %lld bytes: %s", static_cast<long long>(bytes), why);
  }
  const char* what() const noexcept override { return message_; }

 private:
  char message_[128];
};

// Sits in the 64 bytes before a block.
struct Header {
  int64_t bytes;    // of the block, header excluded
  int size_class;   // -1: not pooled
  int64_t guarded;  // in poisoned memory: the bytes asked for, behind which all stay poisoned until the release; else 0
};
static_assert(sizeof(Header) <= kAlignment);

struct Pool {
  std::mutex mutex;
  std::vector<void*> free_blocks[kClasses];
  MemoryStats stats{};
  bool enabled = true;
  bool poison = false;
  int64_t overruns = 0;
};

void lock_pool();
void unlock_pool();

Pool& pool() {
  static Pool* instance = [] {  // never destroyed: arrays may outlive every static
    auto* p = new Pool;
    const char* setting = std::getenv("ATROUS_MEMORY_POOL");
    p->enabled = !(setting && std::strcmp(setting, "0") == 0);
    pthread_atfork(lock_pool, unlock_pool, unlock_pool);  // a child must not inherit a lock that nobody will open
    return p;
  }();
  return *instance;
}

void lock_pool() { pool().mutex.lock(); }
void unlock_pool() { pool().mutex.unlock(); }

// Size classes: 64 * {1, 1.25, 1.5, 1.75} * 2^k.
int64_t class_bytes(int c) { return (int64_t{16} << (c / 4)) * (4 + c % 4); }

int class_of(int64_t bytes) {
  int c = 0;
  if (bytes > kAlignment) c = 4 * (63 - __builtin_clzll(static_cast<unsigned long long>(bytes)) - 6);
  while (class_bytes(c) < bytes) ++c;
  return c;
}

Header* header_of(void* block) { return reinterpret_cast<Header*>(static_cast<char*>(block) - kAlignment); }

void* system_allocate(int64_t bytes) {
  const int64_t total = bytes + kAlignment;
  const int64_t alignment = total >= 2 * kHugePage ? kHugePage : kAlignment;
  void* base = nullptr;
  if (posix_memalign(&base, static_cast<size_t>(alignment), static_cast<size_t>(total)) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  if (alignment == kHugePage) madvise(base, static_cast<size_t>(total), MADV_HUGEPAGE);  // advice only: may fail
#endif
  return static_cast<char*>(base) + kAlignment;
}

void system_release(void* block) { std::free(header_of(block)); }

void empty_cache_locked(Pool& p) {
  for (auto& blocks : p.free_blocks) {
    for (void* block : blocks) system_release(block);
    blocks.clear();
  }
  p.stats.pooled = 0;
}

void* take_block(Pool& p, int c, int64_t bytes) {
  if (c >= 0 && !p.free_blocks[c].empty()) {
    void* block = p.free_blocks[c].back();
    p.free_blocks[c].pop_back();
    p.stats.pooled -= bytes;
    return block;
  }
  // A pool that holds more than is in use serves sizes that are gone: give it back before asking for more.
  if (p.stats.pooled > p.stats.current + (int64_t{64} << 20)) empty_cache_locked(p);
  void* block = system_allocate(bytes);
  if (!block) {
    empty_cache_locked(p);
    block = system_allocate(bytes);
  }
  if (!block) throw OutOfMemory(bytes, "the system has none left");
  *header_of(block) = Header{bytes, c, 0};
  return block;
}

bool overrun(const void* block, const Header& header) {
  const auto* bytes = static_cast<const unsigned char*>(block);
  for (int64_t i = header.guarded; i < header.bytes; ++i)
    if (bytes[i] != 0xFF) return true;
  return false;
}

}  // namespace

void* allocate(int64_t bytes) {
  Pool& p = pool();
  if (bytes < 0 || bytes > (int64_t{1} << 46)) throw OutOfMemory(bytes, "no machine has so much");
  if (bytes == 0) bytes = 1;
  std::lock_guard<std::mutex> lock(p.mutex);
  const int64_t asked_for = bytes;
  if (p.poison) bytes += kGuard;
  const int c = p.enabled ? class_of(bytes) : -1;
  if (c >= 0) bytes = class_bytes(c);
  if (p.stats.limit > 0 && p.stats.current + bytes > p.stats.limit)
    throw OutOfMemory(bytes, "the limit of atrous.memory.set_limit is reached");
  void* block = take_block(p, c, bytes);
  p.stats.current += bytes;
  if (p.stats.current > p.stats.peak) p.stats.peak = p.stats.current;
  if (p.poison) std::memset(block, 0xFF, static_cast<size_t>(bytes));
  header_of(block)->guarded = p.poison ? asked_for : 0;
  return block;
}

void release(void* block) noexcept {
  if (!block) return;
  Pool& p = pool();
  const Header header = *header_of(block);
  std::lock_guard<std::mutex> lock(p.mutex);
  p.stats.current -= header.bytes;
  if (header.guarded > 0 && overrun(block, header)) ++p.overruns;
  if (header.size_class < 0) {
    system_release(block);
    return;
  }
  try {
    p.free_blocks[header.size_class].push_back(block);
    p.stats.pooled += header.bytes;
  } catch (...) {  // the list could not grow
    system_release(block);
  }
}

MemoryStats memory_stats() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  return pool().stats;
}

void memory_reset_peak() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().stats.peak = pool().stats.current;
}

void memory_empty_cache() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  empty_cache_locked(pool());
}

void memory_set_limit(int64_t bytes) {
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().stats.limit = bytes;
}

void memory_set_poison(bool enabled) {
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().poison = enabled;
}

int64_t memory_overruns() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  return std::exchange(pool().overruns, 0);
}

}  // namespace atrous
