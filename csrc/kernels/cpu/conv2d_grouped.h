// Convolution in groups of 1 (depthwise), 2, 4 or 8 channels, as many out as in: a vector holds the channels of several
// groups, and nothing is summed across lanes. Channel k of each group is spread over the group's lanes and multiplied
// by a vector of weights, one for each pair (channel k, channel of the lane).
#pragma once
#include "kernels/cpu/conv2d_lines.h"
#include "kernels/cpu/far.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/pool2d_lanes.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Calls f(GS) as an integral constant: channels of a group.
template <int GS = 8, typename F>
void with_group(int64_t size, F&& f) {
  if constexpr (GS > 1)
    if (size < GS) return with_group<GS / 2>(size, f);
  f(std::integral_constant<int, GS>{});
}

// Channel k of each group, in all lanes of its group. Groups are shorter than a vector.
template <typename T, int GS, int k>
inline typename Vec<T>::type spread(typename Vec<T>::type v) {
  if constexpr (GS == 1) return v;
  typename Vec<T>::type result{};
#pragma GCC unroll 16
  for (int lane = 0; lane < Vec<T>::width; ++lane) result[lane] = v[lane / GS * GS + k];
  return result;
}

// Calls f(place in the weight, first channel of the group, o, tap, i) for weight[g, o][tap][i].
template <typename F>
void for_each_weight(const Conv2dShape& s, F&& f) {
  const int64_t taps = s.KH * s.KW, GS = s.IC / s.G;
  int64_t at = 0;
  for (int64_t c = 0; c < s.IC; c += GS)
    for (int64_t o = 0; o < GS; ++o)
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t i = 0; i < GS; ++i) f(at++, c, o, tap, i);
}

// Weights, or their gradient, in lines: [line][tap][k][kLine], with zeros in the place of channels that are missing.
template <typename T>
struct LineWeights {
  int64_t taps, GS, size;
  Workspace<T> lines;

  explicit LineWeights(const Conv2dShape& s)
      : taps(s.KH * s.KW), GS(s.IC / s.G), size(taps * GS * divide_up(s.IC, kLine<T>) * kLine<T>), lines(size) {
    for (int64_t i = s.IC / kLine<T> * kLine<T> * taps * GS; i < size; ++i) lines.data()[i] = T(0);
  }
  T& at(int64_t tap, int64_t k, int64_t c) const {
    return lines.data()[((c / kLine<T> * taps + tap) * GS + k) * kLine<T> + c % kLine<T>];
  }
};

// How rows and channels are shared out, from the sizes alone.
struct GroupedCut {
  int64_t slots, lines;         // of a window; of all channels
  int64_t rows, parts;          // of all images
  int64_t chunks, chunk_lines;  // of the channels
  bool serial;
};

template <typename T>
GroupedCut cut_rows(const Gather& g, const Columns& columns, int64_t GS, int64_t most) {
  constexpr double kTask = 2.5e5;                    // operations, of which there are few for each byte that is moved
  constexpr int64_t kWindow = 1 << 18, kTasks = 16;  // bytes of the second cache
  GroupedCut cut;
  cut.slots = Window<T>::slots_of(g.h), cut.lines = divide_up(g.C, kLine<T>);
  cut.rows = g.N * g.h.destination;
  const double operations = 2.0 * static_cast<double>(cut.rows * g.w.destination * g.C);
  const double tasks = operations * static_cast<double>(g.h.K * g.w.K * GS) / kTask;
  cut.serial = tasks < 4;
  cut.parts = max_of(1, min_of(most, cut.rows / (4 * cut.slots)));  // each reads slots - 1 rows of another
  const int64_t fit = max_of(1, kWindow / max_of(1, cut.slots * columns.width * 64));
  const int64_t wanted = cut.serial ? 1 : tasks < kTasks ? static_cast<int64_t>(tasks) : kTasks;
  cut.chunks = min_of(cut.lines, max_of(divide_up(wanted, cut.parts), divide_up(cut.lines, fit)));
  cut.chunk_lines = divide_up(cut.lines, cut.chunks);
  cut.chunks = divide_up(cut.lines, cut.chunk_lines);
  return cut;
}

// The windows of all workers.
template <typename T>
struct Windows {
  const Gather& g;
  const Columns& columns;
  const GroupedCut& cut;
  int64_t size;
  Workspace<T> lines;
  Workspace<int64_t> held;
  Workspace<RowTap> rows;
  Workspace<LineTap> taps;

  Windows(const Gather& gather, const Columns& places, const GroupedCut& c, int threads)
      : g(gather),
        columns(places),
        cut(c),
        size(c.chunk_lines * c.slots * places.width * kLine<T>),
        lines(threads * size),
        held(threads * c.slots),
        rows(threads * gather.h.K),
        taps(threads * gather.h.K * gather.w.K) {}

  // That of a worker, empty, with the channels of a chunk.
  Window<T> of(int worker, int64_t chunk) const {
    const int64_t channel = chunk * cut.chunk_lines * kLine<T>, channels = cut.chunk_lines * kLine<T>;
    Window<T> window{g,
                     columns,
                     cut.slots,
                     channel,
                     min_of(g.C - channel, channels),
                     lines.data() + worker * size,
                     held.data() + worker * cut.slots,
                     rows.data() + worker * g.h.K,
                     taps.data() + worker * g.h.K * g.w.K};
    window.clear();
    return window;
  }
};

template <typename T>
struct GroupedGather {
  const T *source, *weights;    // weights: in lines
  const Epilogue<T>* epilogue;  // nullptr: none
  T* destination;
  bool past_caches;  // it is written past them
};

// Where the sums of a line go.
template <typename T>
struct LineOutput {
  T* y;                         // all of it
  int64_t place, step;          // first element of the first pixel's line, elements between pixels
  int64_t channel, channels;    // the line's first; how many of them there are
  const Epilogue<T>* epilogue;  // nullptr: none
  bool past_caches;
};

// Pixels of a tile: 8 sums hide the latency of a multiply-add, more of them save loads of the weights of wide groups.
template <int GS>
constexpr int kGroupedPixels = (GS < 8 ? 8 : 12) * ATROUS_VECTOR_BYTES / 64;

template <typename T, int P>
inline void finish_line(const LineOutput<T>& out, int64_t place, typename Vec<T>::type (&sums)[P][kLineVectors<T>]) {
  constexpr int NV = kLineVectors<T>, W = Vec<T>::width;
  if (const Epilogue<T>* e = out.epilogue)
    apply_epilogue<T, P, NV>(
        *e, out.channel, out.channels, [&](int i) { return e->residual + place + i * out.step; }, sums);
  if (out.past_caches) {
    for (int i = 0; i < P; ++i)
      for (int j = 0; j < NV; ++j) store_past_caches(out.y + place + i * out.step + j * W, sums[i][j]);
  } else {
    for (int i = 0; i < P; ++i) store_columns<T, NV>(out.y + place + i * out.step, out.channels, sums[i]);
  }
}

// P pixels of a line, from x and weights on.
template <typename T, int GS, int P>
inline void gather_tile(const LineTap* taps, int64_t count, const T* x, const T* weights, const LineOutput<T>& out,
                        int64_t place) {
  constexpr int NV = kLineVectors<T>, W = Vec<T>::width;
  using V = typename Vec<T>::type;
  V sums[P][NV];
  for (int i = 0; i < P; ++i)
    for (int j = 0; j < NV; ++j) sums[i][j] = V{};
  for (const LineTap* tap = taps; tap != taps + count; ++tap) {
    const T *from = x + tap->source, *w = weights + tap->weight;
    if constexpr (GS < W) {
      for (int j = 0; j < NV; ++j) {
        V weight[GS];
        for (int k = 0; k < GS; ++k) weight[k] = load(w + k * kLine<T> + j * W);
        for (int i = 0; i < P; ++i) {
          const V v = load(from + i * kLine<T> + j * W);
          unrolled<GS>([&](auto k) { sums[i][j] += spread<T, GS, k>(v) * weight[k]; });
        }
      }
    } else {
      for (int k = 0; k < GS; ++k) {
        V weight[NV];
        for (int j = 0; j < NV; ++j) weight[j] = load(w + k * kLine<T> + j * W);
        for (int i = 0; i < P; ++i)
          for (int j = 0; j < NV; ++j) sums[i][j] += broadcast(from[i * kLine<T> + j * W / GS * GS + k]) * weight[j];
      }
    }
  }
  finish_line<T, P>(out, place, sums);
}

// Pixels P at a time; the last tile goes over pixels of the one before again, and fewer than P pixels take fewer.
template <typename T, int GS, int P = kGroupedPixels<GS>>
void gather_line(const LineTap* taps, int64_t count, int64_t pixels, const T* x, const T* weights,
                 const LineOutput<T>& out, Ahead& reads, Ahead& writes) {
  if constexpr (P > 1)
    if (pixels < P) return gather_line<T, GS, P / 2>(taps, count, pixels, x, weights, out, reads, writes);
  for (int64_t i = 0; i < pixels; i += P) {
    reads.step();
    writes.step();
    const int64_t pixel = min_of(i, pixels - P);
    gather_tile<T, GS, P>(taps, count, x + pixel * kLine<T>, weights, out, out.place + pixel * out.step);
  }
}

// Whether source and destination exceed the caches, and whole lines can be written past them.
template <typename T>
bool leaves_caches(const Gather& g, const T* destination) {
  const int64_t pixels = g.h.source * g.w.source + g.h.destination * g.w.destination, size = sizeof(T);
  return exceeds_caches(g.N * pixels * g.C * size) && g.C % kLine<T> == 0 &&
         reinterpret_cast<uintptr_t>(destination) % ATROUS_VECTOR_BYTES == 0;
}

// One row of the destination. `more`: the next one follows, and what it reads and writes can be fetched meanwhile.
template <typename T, int GS>
void gather_row(const GroupedGather<T>& p, Window<T>& window, int64_t row, bool more) {
  const Gather& g = window.g;
  const int64_t taps = g.h.K * g.w.K, DW = g.w.destination;
  window.fetch(p.source, row);
  const int64_t steps = divide_up(DW, kGroupedPixels<GS>) * window.line_count();
  Ahead reads = ahead(p.source + window.channel, rows_read(g, row) * g.w.source,
                      more ? rows_read(g, row + 1) * g.w.source : 0, g.C, window.channels, steps);
  Ahead writes = ahead<T>(p.destination + window.channel, (row + 1) * DW, more && !p.past_caches ? (row + 2) * DW : 0,
                          g.C, window.channels, steps);
  for (int64_t first = 0; first < min_of(g.w.down, DW); ++first) {
    const int64_t count = window.find_taps(first, GS * kLine<T>), pixels = divide_up(DW - first, g.w.down);
    for (int64_t line = 0; line < window.line_count(); ++line) {
      const int64_t c = window.channel + line * kLine<T>;
      const LineOutput<T> out{
          p.destination, (row * DW + first) * g.C + c, g.w.down * g.C, c, min_of(kLine<T>, g.C - c), p.epilogue,
          p.past_caches};
      gather_line<T, GS>(window.taps, count, pixels, window.lines + line * window.line_stride(),
                         p.weights + c * taps * GS, out, reads, writes);
    }
  }
}

template <typename T, int GS>
void grouped_gather(const Gather& g, const GroupedGather<T>& p) {
  const Columns columns(g.w);
  const GroupedCut cut = cut_rows<T>(g, columns, GS, 64);
  const int threads = num_threads();
  const Windows<T> windows(g, columns, cut, threads);
  const auto run = [&](int64_t task, int worker) {
    Window<T> window = windows.of(worker, task % cut.chunks);
    const int64_t part = task / cut.chunks, end = (part + 1) * cut.rows / cut.parts;
    for (int64_t row = part * cut.rows / cut.parts; row < end; ++row) gather_row<T, GS>(p, window, row, row + 1 < end);
    if (p.past_caches) finish_past_caches();
  };
  run_tasks(cut.serial, cut.parts * cut.chunks, run, threads);
}

template <typename T>
void grouped_forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  const LineWeights<T> weights(s);
  for_each_weight(
      s, [&](int64_t from, int64_t c, int64_t o, int64_t tap, int64_t i) { weights.at(tap, i, c + o) = weight[from]; });
  const Gather g = forward_gather(s);
  const GroupedGather<T> p{x, weights.lines.data(), does_nothing(e) ? nullptr : &e, y, leaves_caches(g, y)};
  with_group(s.IC / s.G, [&](auto GS) { grouped_gather<T, GS>(g, p); });
}

template <typename T>
void grouped_backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const LineWeights<T> weights(s);
  for_each_weight(
      s, [&](int64_t from, int64_t c, int64_t o, int64_t tap, int64_t i) { weights.at(tap, o, c + i) = weight[from]; });
  const Gather g = backward_gather(s);
  const GroupedGather<T> p{grad_y, weights.lines.data(), nullptr, grad_x, leaves_caches(g, grad_x)};
  with_group(s.IC / s.G, [&](auto GS) { grouped_gather<T, GS>(g, p); });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
