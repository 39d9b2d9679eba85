// A function of one element of each input, over whole arrays. For per-level units only.
#pragma once
#include <cstdint>

#include "core/parallel.h"
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// y[i] = f(inputs[i]...)
template <typename T, typename F, typename... Inputs>
void map_piece(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int width = Vec<T>::width;
  int64_t i = 0;
  for (; i + width <= n; i += width) store(y + i, f(load(inputs + i)...));
  if (i < n) store_first(y + i, n - i, f(load_first(inputs + i, n - i)...));
}

template <typename T, typename F, typename... Inputs>
void map(int64_t n, F f, T* y, const Inputs*... inputs) {
  constexpr int64_t kPiece = 1 << 15;  // elements
  if (n <= 2 * kPiece) return map_piece(n, f, y, inputs...);
  parallel_for(divide_up(n, kPiece), [&](int64_t piece, int) {
    const int64_t i = piece * kPiece;
    map_piece(min_of(n - i, kPiece), f, y + i, (inputs + i)...);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
