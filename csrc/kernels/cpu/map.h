// A function of one element of each input, over whole arrays. For per-level units only.
#pragma once
#include <cstdint>

#include "core/parallel.h"
#include "core/simd.h"
#include "kernels/cpu/far.h"
#include "kernels/cpu/vector_math.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// y[i] = f(inputs[i]...); y may be one of the inputs. Where it is to go past the caches, which saves reading each line
// of it first, it is aligned to a vector, and finish_past_caches() is the caller's.
template <bool past_caches, typename T, typename F, typename... Inputs>
inline void map_run(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int width = Vec<T>::width;
  if (n < width) {
    if (n > 0) store_first(y, n, f(load_first(inputs, n)...));
    return;
  }
  const bool rest = n % width > 0;
  V<T> last{};  // overlaps the one before, which may write over its inputs
  if (rest) last = f(load(inputs + n - width)...);
  for (int64_t i = 0; i + width <= n; i += width)
    if constexpr (past_caches)
      store_past_caches(y + i, f(load(inputs + i)...));
    else
      store(y + i, f(load(inputs + i)...));
  if (rest) store(y + n - width, last);
}

// Whether y may go past the caches.
template <typename T, typename... Inputs>
inline bool may_pass_caches(const T* y, const Inputs*... inputs) {
  return reinterpret_cast<uintptr_t>(y) % ATROUS_VECTOR_BYTES == 0 && ((y != inputs) && ...);
}

template <typename T, typename F, typename... Inputs>
void map(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int64_t kPiece = 1 << 15, kRun = 1 << 10;
  if (n <= 2 * kPiece) return map_run<false>(n, f, y, inputs...);
  const bool far = exceeds_caches(static_cast<int64_t>((1 + sizeof...(inputs)) * sizeof(T)) * n);
  const bool past_caches = far && may_pass_caches(y, inputs...);
  parallel_for(divide_up(n, kPiece), [&](int64_t piece, int) {
    const int64_t first = piece * kPiece, last = min_of(n, first + kPiece);
    if (!far) return map_run<false>(last - first, f, y + first, (inputs + first)...);
    for (int64_t i = first; i < last; i += kRun) {
      const int64_t run = min_of(last - i, kRun);
      prefetch_ahead(run, (inputs + i)...);
      past_caches ? map_run<true>(run, f, y + i, (inputs + i)...) : map_run<false>(run, f, y + i, (inputs + i)...);
    }
    if (past_caches) finish_past_caches();
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
