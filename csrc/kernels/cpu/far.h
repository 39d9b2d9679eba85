// What kernels do about arrays that the caches do not hold. For per-level units only.
#pragma once
#include <cstdint>

namespace atrous::ATROUS_LEVEL {
namespace {

// Whether arrays of so many bytes, all that a kernel reads and writes, are more than the caches keep until the next
// one.
inline bool exceeds_caches(int64_t bytes) { return bytes >= 3 << 23; }  // most of a server's last cache

// Asks for n elements of each array, some way ahead of these: the processor's own prefetching ends with the page.
template <typename... Inputs>
inline void prefetch_ahead(int64_t n, const Inputs*... inputs) {
  constexpr int64_t kAhead = 4096, kLine = 64;  // bytes
  const auto fetch = [n](const auto* p) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(p) + kAhead;
    for (int64_t i = 0; i < n * static_cast<int64_t>(sizeof *p); i += kLine)
      __builtin_prefetch(reinterpret_cast<const void*>(from + static_cast<uintptr_t>(i)));
  };
  (fetch(inputs), ...);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
