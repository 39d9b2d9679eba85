// Depthwise convolution (IC == OC == G): every channel has a filter of its own, so a vector of channels is one lane a
// filter and nothing is summed across lanes.
#pragma once
#include "core/memory.h"
#include "core/parallel.h"
#include "kernels/cpu/conv2d_sites.h"
#include "kernels/cpu/finish.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kDepthwiseRows = 64;  // sites of a piece

// One site: y[c] = sum_t rows[t * stride][c] * w[tap_id[t]][c], through the epilogue. The site lies at y + place.
template <typename T>
void depthwise_site(const Sites& s, const T* const* rows, int64_t stride, const T* w, const Epilogue<T>& e, T* y,
                    int64_t place) {
  using V = typename Vec<T>::type;
  const int64_t C = s.SC;
  int64_t c = 0;
  for (; c + Vec<T>::width <= C; c += Vec<T>::width) {
    V sum = {}, zero = {};
    for (int64_t t = 0; t < s.taps; ++t) sum += load(rows[t * stride] + c) * load(w + s.tap_id[t] * C + c);
    sum = finished<V>(e, sum, e.scale ? load(e.scale + c) : zero, e.bias ? load(e.bias + c) : zero,
                      e.residual ? load(e.residual + place + c) : zero);
    store(y + place + c, sum);
  }
  for (; c < C; ++c) {
    T sum = T(0);
    for (int64_t t = 0; t < s.taps; ++t) sum += rows[t * stride][c] * w[s.tap_id[t] * C + c];
    y[place + c] = finished_at(e, sum, c, place + c);
  }
}

template <typename T>
void depthwise_gather(const Sites& s, const T* source, const T* weight, const Epilogue<T>& epilogue, T* destination) {
  const int64_t C = s.SC, total = count_of(s);
  Workspace<T> by_tap(s.all_taps * C);  // weight[c][tap] -> [tap][c]
  for (int64_t t = 0; t < s.all_taps; ++t)
    for (int64_t c = 0; c < C; ++c) by_tap.data()[t * C + c] = weight[c * s.all_taps + t];
  Workspace<T> zeros(C);
  for (int64_t c = 0; c < C; ++c) zeros.data()[c] = T(0);
  const int threads = num_threads();
  Workspace<const T*> tables(threads * s.taps * kDepthwiseRows);
  Workspace<T*> outs(threads * kDepthwiseRows);
  parallel_for(
      divide_up(total, kDepthwiseRows),
      [&](int64_t piece, int worker) {
        const int64_t first = piece * kDepthwiseRows, rows = min_of(kDepthwiseRows, total - first);
        const T** table = tables.data() + worker * s.taps * kDepthwiseRows;
        T** out = outs.data() + worker * kDepthwiseRows;
        fill_table(s, first, rows, source, zeros.data(), destination, table, out);
        for (int64_t i = 0; i < rows; ++i)
          depthwise_site(s, table + i, rows, by_tap.data(), epilogue, destination, out[i] - destination);
      },
      threads);
}

// sums[t][c] += grad_y[i][c] * table[t][i][c] over the sites i of a piece
template <typename T>
void depthwise_weight_piece(const Sites& s, const T* const* table, int64_t rows, const T* grad_y, T* sums) {
  constexpr int W = Vec<T>::width;
  const int64_t C = s.SC;
  for (int64_t t = 0; t < s.taps; ++t) {
    const T* const* row = table + t * rows;
    int64_t c = 0;
    for (; c + W <= C; c += W) {
      typename Vec<T>::type sum = load(sums + t * C + c);
      for (int64_t i = 0; i < rows; ++i) sum += load(row[i] + c) * load(grad_y + i * C + c);
      store(sums + t * C + c, sum);
    }
    for (; c < C; ++c)
      for (int64_t i = 0; i < rows; ++i) sums[t * C + c] += row[i][c] * grad_y[i * C + c];
  }
}

template <typename T>
void depthwise_weight(const Sites& s, const T* grad_y, const T* x, T* grad_weight) {
  const int64_t C = s.SC, total = count_of(s), pieces = divide_up(total, kDepthwiseRows);
  const int64_t slices = min_of(16, pieces), size = s.taps * C;
  Workspace<T> zeros(C), partial(slices * size);
  for (int64_t c = 0; c < C; ++c) zeros.data()[c] = T(0);
  const int threads = num_threads();
  Workspace<const T*> tables(threads * s.taps * kDepthwiseRows);
  parallel_for(
      slices,
      [&](int64_t slice, int worker) {
        T* sums = partial.data() + slice * size;
        for (int64_t i = 0; i < size; ++i) sums[i] = T(0);
        const T** table = tables.data() + worker * s.taps * kDepthwiseRows;
        for (int64_t piece = slice * pieces / slices; piece < (slice + 1) * pieces / slices; ++piece) {
          const int64_t first = piece * kDepthwiseRows, rows = min_of(kDepthwiseRows, total - first);
          fill_table<T>(s, first, rows, x, zeros.data(), nullptr, table, nullptr);
          depthwise_weight_piece(s, table, rows, grad_y + first * C, sums);
        }
      },
      threads);
  for (int64_t t = 0; t < s.taps; ++t)
    for (int64_t c = 0; c < C; ++c) {
      T sum = partial.data()[t * C + c];
      for (int64_t slice = 1; slice < slices; ++slice) sum += partial.data()[slice * size + t * C + c];
      grad_weight[c * s.taps + t] = sum;
    }
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
