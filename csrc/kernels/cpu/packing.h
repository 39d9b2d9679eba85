// Copies that put matrices where the register tile wants them: panels of b, and tiles of `a`.
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

// One row of a tile.
template <typename T>
inline void pack_tile_row(int64_t count, const T* from, T* to) {
  constexpr int64_t R = kTileRows, B = Block<T>::size;
  if (count < R)
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  else
    for (int64_t i = 0; i < R; i += B) Block<T>::store(to + min_of(i, R - B), Block<T>::load(from + min_of(i, R - B)));
}

// Tiles of `a` one after the other: packed[tile][k][kTileRows]; what is beyond the last row is not written.
// a[m * a_m + k * a_k]: a_m or a_k is 1.
template <typename T>
void pack_tiles(int64_t rows, int64_t K, const T* a, int64_t a_m, int64_t a_k, T* packed) {
  constexpr int64_t R = kTileRows, kStrip = 16;
  if (a_k == 1) {
    for (int64_t m = 0; m < rows; m += R) transpose(min_of(R, rows - m), K, a + m * a_m, a_m, packed + m * K, R);
    return;
  }
  for (int64_t first = 0; first < K; first += kStrip) {
    const int64_t last = min_of(K, first + kStrip);
    for (int64_t m = 0; m < rows; m += R)
      for (int64_t k = first; k < last; ++k)
        pack_tile_row(min_of(R, rows - m), a + k * a_k + m, packed + m * K + k * R);
  }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
