// The input gradient of few channels: they would leave most lanes of a tile empty, so taps and channels together are
// the columns, and each output pixel's row of them is added to the window that it came from (col2im, row by row).
#pragma once
#include "kernels/cpu/conv2d_patches.h"
#include "kernels/cpu/gemm.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// to[i] += from[i]
template <typename T>
inline void add_few(int64_t n, const T* from, T* to) {
  constexpr int W = Vec<T>::width;
  using B = Block<T>;
  int64_t i = 0;
  for (; i + W <= n; i += W) store(to + i, load(to + i) + load(from + i));
  for (; i + B::size <= n; i += B::size) B::store(to + i, B::load(to + i) + B::load(from + i));
  for (; i < n; ++i) to[i] += from[i];
}

// Adds the window of output pixel (oh, ow) to rows [begin, end) of an image of grad_x.
template <typename T>
void add_window(const Conv2dShape& s, int64_t oh, int64_t ow, int64_t begin, int64_t end, const T* window, T* image) {
  const int64_t w0 = ow * s.sw - s.pw, row_size = s.KW * s.IC;
  const bool dense = s.dw == 1 && w0 >= 0 && w0 + s.KW <= s.IW;
  for (int64_t kh = 0; kh < s.KH; ++kh, window += row_size) {
    const int64_t h = oh * s.sh - s.ph + kh * s.dh;
    if (h < begin || h >= end) continue;
    T* row = image + h * s.IW * s.IC;
    if (dense) {
      add_few(row_size, window, row + w0 * s.IC);
      continue;
    }
    for (int64_t kw = 0; kw < s.KW; ++kw) {
      const int64_t w = w0 + kw * s.dw;
      if (w >= 0 && w < s.IW) add_few(s.IC, window + kw * s.IC, row + w * s.IC);
    }
  }
}

// Pieces are bands of rows of grad_x: output rows whose windows lie in two of them are multiplied for both.
template <typename T>
void scatter_product(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const int64_t columns = s.KH * s.KW * s.IC, panels = panels_of<T>(columns), span = (s.KH - 1) * s.dh + 1;
  const int64_t tasks = tasks_of(static_cast<double>(s.N * s.OH * s.OW) * static_cast<double>(columns * s.OC));
  const int64_t bands = s.N >= tasks ? 1 : min_of(divide_up(tasks, max_of(s.N, 1)), divide_up(s.IH, 4 * span));
  const int64_t step = max_of(1, 48 / max_of(s.OW, 1)), stride = panels * kPanel<T>;  // output rows at a time
  const int threads = num_threads();
  Workspace<T> packed(panels * s.OC * kPanel<T>), windows(threads * step * s.OW * stride);
  for (int64_t n = 0; n < columns; n += kPanel<T>)
    pack_panel(s.OC, min_of(kPanel<T>, columns - n), weight + n, columns, 1, packed.data() + n * s.OC);
  Workspace<const T*> tables(threads * step * s.OW);
  Workspace<T*> outs(threads * step * s.OW);

  const auto run = [&](int64_t task, int worker) {
    const int64_t n = task / bands, begin = task % bands * s.IH / bands, end = (task % bands + 1) * s.IH / bands;
    T *image = grad_x + n * s.IH * s.IW * s.IC, *window = windows.data() + worker * step * s.OW * stride;
    for (int64_t i = begin * s.IW * s.IC; i < end * s.IW * s.IC; ++i) image[i] = T(0);
    const int64_t oh_begin = max_of(0, divide_up(max_of(0, begin + s.ph - span + 1), s.sh));
    const int64_t oh_end = min_of(s.OH, (end - 1 + s.ph) / s.sh + 1);
    const T** table = tables.data() + worker * step * s.OW;
    T** out = outs.data() + worker * step * s.OW;
    for (int64_t i = 0; i < step * s.OW; ++i) out[i] = window + i * stride;
    for (int64_t oh = oh_begin; oh < oh_end; oh += step) {
      const int64_t rows = min_of(step, oh_end - oh) * s.OW, zero = 0;
      for (int64_t i = 0; i < rows; ++i) table[i] = grad_y + ((n * s.OH + oh) * s.OW + i) * s.OC;
      const Panels<T> all{packed.data(), s.OC, nullptr, 0, 0, 0, nullptr};
      multiply_rows(
          RowProduct<T>{rows, 1, s.OC, &zero, table, 0, nullptr, all, out, 0, columns, false, nullptr, nullptr}, 0,
          panels);
      for (int64_t i = 0; i < rows; ++i) add_window(s, oh + i / s.OW, i % s.OW, begin, end, out[i], image);
    }
  };
  run_tasks(tasks == 1, s.N * bands, run, threads);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
