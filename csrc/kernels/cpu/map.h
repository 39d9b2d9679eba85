// A function of one element of each input, over whole arrays. For per-level units only.
#pragma once
#include <cstdint>

#include "core/parallel.h"
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// y[i] = f(inputs[i]...)
template <bool past_caches, typename T, typename F, typename... Inputs>
void map_piece(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int width = Vec<T>::width;
  int64_t i = 0;
  for (; i + width <= n; i += width)
    if constexpr (past_caches)
      store_past_caches(y + i, f(load(inputs + i)...));
    else
      store(y + i, f(load(inputs + i)...));
  if (i < n) store_first(y + i, n - i, f(load_first(inputs + i, n - i)...));
  if constexpr (past_caches) finish_past_caches();
}

template <typename T, typename F, typename... Inputs>
void map(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int64_t kPiece = 1 << 15, kCacheBytes = 1 << 25;  // elements; a server's last cache
  if (n <= 2 * kPiece) return map_piece<false>(n, f, y, inputs...);
  const bool aligned = reinterpret_cast<uintptr_t>(y) % ATROUS_VECTOR_BYTES == 0, in_place = ((y == inputs) || ...);
  const bool past_caches = n * static_cast<int64_t>(sizeof(T)) >= kCacheBytes && aligned && !in_place;
  parallel_for(divide_up(n, kPiece), [&](int64_t piece, int) {
    const int64_t i = piece * kPiece;
    if (past_caches)
      map_piece<true>(min_of(n - i, kPiece), f, y + i, (inputs + i)...);
    else
      map_piece<false>(min_of(n - i, kPiece), f, y + i, (inputs + i)...);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
