// Copies that put matrices where the register tile wants them: panels of b, and rows of a column-major `a`.
#pragma once
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/transpose.h"

namespace atrous::ATROUS_LEVEL {
namespace {

template <typename T>
inline int64_t panels_of(int64_t columns) {
  return divide_up(columns, kPanel<T>);
}

// One row of a panel, zero-padded to its width.
template <typename T>
inline void pack_row(int64_t columns, const T* from, T* to) {
  constexpr int W = Vec<T>::width;
  int64_t n = 0;
  for (; n + W <= columns; n += W) store(to + n, load(from + n));
  for (; n < columns; ++n) to[n] = from[n];
  for (; n < kPanel<T>; ++n) to[n] = T(0);
}

// One panel: packed[k][n] = b[k * k_stride + n * n_stride], zero-padded to the panel's width.
template <typename T>
void pack_panel(int64_t K, int64_t columns, const T* b, int64_t k_stride, int64_t n_stride, T* packed) {
  constexpr int64_t P = kPanel<T>;
  if (n_stride == 1) {
    for (int64_t k = 0; k < K; ++k) pack_row(columns, b + k * k_stride, packed + k * P);
    return;
  }
  if (k_stride == 1) {
    transpose(columns, K, b, n_stride, packed, P);
  } else {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t n = 0; n < columns; ++n) packed[k * P + n] = b[k * k_stride + n * n_stride];
  }
  for (int64_t k = 0; k < K && columns < P; ++k)
    for (int64_t n = columns; n < P; ++n) packed[k * P + n] = T(0);
}

// One panel whose rows lie anywhere: packed[k][n] = rows[k][offset + n].
template <typename T>
void pack_panel(int64_t K, int64_t columns, const T* const* rows, int64_t offset, T* packed) {
  for (int64_t k = 0; k < K; ++k) pack_row(columns, rows[k] + offset, packed + k * kPanel<T>);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
