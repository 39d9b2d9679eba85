// The weight gradient of a grouped convolution: pieces of the rows have sums of their own, which are added in order.
#pragma once
#include "kernels/cpu/conv2d_grouped.h"
#include "kernels/cpu/conv2d_weight.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Sums that fit the registers: NT taps times KB channels of grad_y's group, of which GS == 8 takes two rounds.
template <int GS>
constexpr int kGradients = GS < 4 ? GS : 4;
template <int GS>
constexpr int kWeightTaps = GS == 1   ? 9
                            : GS == 2 ? 5
                                      : 3;

// sums[tap][k][lane] += grad_y[pixel][k of the group] * x[pixel of the tap][lane] of vector j, k from `first` on
template <typename T, int GS, int first, int NT>
inline void weight_tile(const LineTap* taps, int64_t pixels, const T* grad_y, const T* x, int j, T* sums) {
  using V = typename Vec<T>::type;
  constexpr int KB = kGradients<GS>, W = Vec<T>::width;
  V total[NT][KB];
  const T* from[NT];
  for (int t = 0; t < NT; ++t) {
    from[t] = x + taps[t].source + j * W;
    for (int k = 0; k < KB; ++k) total[t][k] = load(sums + taps[t].weight + (first + k) * kLine<T> + j * W);
  }
  for (int64_t i = 0; i < pixels * kLine<T>; i += kLine<T>) {
    if constexpr (KB == 1) {
      const V grad = load(grad_y + i + j * W);
      for (int t = 0; t < NT; ++t) total[t][0] += grad * load(from[t] + i);
    } else {
      V seen[NT];
      for (int t = 0; t < NT; ++t) seen[t] = load(from[t] + i);
      unrolled<KB>([&](auto k) {
        V grad;
        if constexpr (GS < W)
          grad = spread<T, GS, first + k>(load(grad_y + i + j * W));
        else
          grad = broadcast(grad_y[i + j * W / GS * GS + first + k]);
        for (int t = 0; t < NT; ++t) total[t][k] += grad * seen[t];
      });
    }
  }
  for (int t = 0; t < NT; ++t)
    for (int k = 0; k < KB; ++k) store(sums + taps[t].weight + (first + k) * kLine<T> + j * W, total[t][k]);
}

// All taps of a line, as evenly cut as they go into tiles of at most kWeightTaps.
template <typename T, int GS, int NT = kWeightTaps<GS>>
void weight_line(const LineTap* taps, int64_t count, int64_t pixels, const T* grad_y, const T* x, T* sums,
                 Ahead& next_x, Ahead& next_grads) {
  if constexpr (NT > 0) {
    while (count > 0 && divide_up(count, divide_up(count, kWeightTaps<GS>)) == NT) {
      for (int j = 0; j < kLineVectors<T>; ++j) {
        next_x.step();
        next_grads.step();
        weight_tile<T, GS, 0, NT>(taps, pixels, grad_y, x, j, sums);
        if constexpr (GS == 8) weight_tile<T, GS, 4, NT>(taps, pixels, grad_y, x, j, sums);
      }
      taps += NT, count -= NT;
    }
    weight_line<T, GS, NT - 1>(taps, count, pixels, grad_y, x, sums, next_x, next_grads);
  }
}

// Adds what one row of grad_y contributes to the sums of the window's lines. grads: room for its lines.
template <typename T, int GS>
void weight_row(const T* grad_y, const T* x, Window<T>& window, int64_t row, bool more, T* grads, T* sums) {
  const Gather& g = window.g;
  const int64_t OW = g.w.destination, taps = g.h.K * g.w.K, row_size = OW * kLine<T>;
  copy_pixels(grad_y + row * OW * g.C + window.channel, OW, g.C, window.channels, grads, row_size);
  window.fetch(x, row);
  const int64_t count = window.find_taps(0, GS * kLine<T>);
  const int64_t steps = window.line_count() * kLineVectors<T> * divide_up(taps, kWeightTaps<GS>);
  Ahead next_x = ahead(x + window.channel, rows_read(g, row) * g.w.source,
                       more ? rows_read(g, row + 1) * g.w.source : 0, g.C, window.channels, steps);
  Ahead next_grads =
      ahead(grad_y + window.channel, (row + 1) * OW, more ? (row + 2) * OW : 0, g.C, window.channels, steps);
  for (int64_t line = 0; line < window.line_count(); ++line)
    weight_line<T, GS>(window.taps, count, OW, grads + line * row_size, window.lines + line * window.line_stride(),
                       sums + line * kLine<T> * taps * GS, next_x, next_grads);
}

template <typename T, int GS>
void grouped_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  const Gather g = forward_gather(s);
  const Columns columns(g.w);
  const GroupedCut cut = cut_rows<T>(g, columns, GS, 16);
  const int threads = num_threads();
  const int64_t line_size = s.KH * s.KW * GS * kLine<T>, row_size = cut.chunk_lines * s.OW * kLine<T>;
  const Windows<T> windows(g, columns, cut, threads);
  const LineWeights<T> sums(s);
  Workspace<T> partial(cut.parts * sums.size), rows(threads * row_size);
  const auto run = [&](int64_t task, int worker) {
    Window<T> window = windows.of(worker, task % cut.chunks);
    const int64_t part = task / cut.chunks, end = (part + 1) * cut.rows / cut.parts;
    T* const mine = partial.data() + part * sums.size + window.channel / kLine<T> * line_size;
    for (int64_t i = 0; i < window.line_count() * line_size; ++i) mine[i] = T(0);
    for (int64_t row = part * cut.rows / cut.parts; row < end; ++row)
      weight_row<T, GS>(grad_y, x, window, row, row + 1 < end, rows.data() + worker * row_size, mine);
  };
  run_tasks(cut.serial, cut.parts * cut.chunks, run, threads);
  add_slices(cut.serial, cut.parts, sums.size, partial.data(), sums.lines.data());
  for_each_weight(
      s, [&](int64_t to, int64_t c, int64_t o, int64_t tap, int64_t i) { grad_weight[to] = sums.at(tap, o, c + i); });
}

template <typename T>
void grouped_backward_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  with_group(s.IC / s.G, [&](auto GS) { grouped_weight<T, GS>(s, grad_y, x, grad_weight); });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
