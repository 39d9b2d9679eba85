// Convolution in groups of 1 (depthwise), 2, 4 or 8 channels, as many out as in: a vector holds the channels of several
// groups, and nothing is summed across lanes. Channel k of each group is spread over the group's lanes and multiplied
// by a vector of weights, one for each pair (channel k, channel of the lane).
// All channels of a few pixels, then the next pixels: memory is read in the order in which it lies.
#pragma once
#include "core/memory.h"
#include "kernels/cpu/conv2d_runs.h"
#include "kernels/cpu/finish.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/pool2d_lanes.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Calls f(W, GS) as integral constants: lanes of a vector, channels of a group (1, 2, 4 or 8).
template <typename T, int GS = 8, typename F>
void with_group(const Conv2dShape& s, F&& f) {
  constexpr int W = Vec<T>::width > GS ? Vec<T>::width : GS;
  if constexpr (GS > 1)
    if (s.IC / s.G < GS) return with_group<T, GS / 2>(s, f);
  if (s.IC >= W)
    f(std::integral_constant<int, W>{}, std::integral_constant<int, GS>{});
  else
    f(std::integral_constant<int, GS>{}, std::integral_constant<int, GS>{});
}

// Channel k of each group, in all lanes of its group.
template <typename T, int W, int GS, int k>
inline typename Lanes<T, W>::Vector spread(const T* p) {
  using V = typename Lanes<T, W>::Vector;
  if constexpr (GS == W) {
    return p[k] - V{};  // x - 0 keeps the sign of -0
  } else {
    const V v = Lanes<T, W>::load(p);
    if constexpr (GS == 1) return v;
    V result{};
#pragma GCC unroll 16
    for (int lane = 0; lane < W; ++lane) result[lane] = v[lane / GS * GS + k];
    return result;
  }
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

template <typename T>
struct GroupedProduct {
  Gather g;
  const T *source, *lanes;      // weights: [tap][k][C]
  const Epilogue<T>* epilogue;  // nullptr: none
  T* destination;
};

constexpr int kChains = 8;  // sums in registers: enough to hide the latency of a multiply-add

// P pixels of a run, NV vectors of channels from c on. source and out: of channel 0.
template <typename T, int W, int GS, int P, int NV>
inline void gather_tile(const GroupedProduct<T>& p, const Run& run, const T* source, int64_t c, T* out) {
  using L = Lanes<T, W>;
  using V = typename L::Vector;
  const int64_t C = p.g.C, step = p.g.w.up * C, out_step = p.g.w.down * C;
  V sums[P][NV] = {};
  for (const Tap* tap = run.taps; tap != run.taps + run.count; ++tap) {
    const T *x = source + tap->at * C + c, *w = p.lanes + tap->k * GS * C + c;
    unrolled<GS>([&](auto k) {
      V weights[NV];
      for (int j = 0; j < NV; ++j) weights[j] = L::load(w + k * C + j * W);
      for (int i = 0; i < P; ++i)
        for (int j = 0; j < NV; ++j) sums[i][j] += spread<T, W, GS, k>(x + i * step + j * W) * weights[j];
    });
  }
  for (int i = 0; i < P; ++i)
    for (int j = 0; j < NV; ++j) L::store(out + i * out_step + c + j * W, sums[i][j]);
}

// The epilogue of pixels that were just written: they are in the first cache still.
template <typename T>
void finish_pixels(const Epilogue<T>& e, int64_t C, int64_t pixels, int64_t step, int64_t place, T* y) {
  using V = typename Vec<T>::type;
  for (const int64_t end = place + pixels * step; place < end; place += step) {
    int64_t c = 0;
    for (; c + Vec<T>::width <= C; c += Vec<T>::width) {
      const V scale = e.scale ? load(e.scale + c) : V{}, bias = e.bias ? load(e.bias + c) : V{};
      const V residual = e.residual ? load(e.residual + place + c) : V{};
      store(y + place + c, finished<V>(e, load(y + place + c), scale, bias, residual));
    }
    for (; c < C; ++c) y[place + c] = finished_at(e, y[place + c], c, place + c);
  }
}

// Narrow vectors are for very few channels: one pixel and one tap at a time serve them well enough.
template <typename T, int W>
constexpr bool kNarrow = W < Vec<T>::width;

// Pixels of a run, P at a time and then fewer; few pixels do several vectors of channels at a time.
template <typename T, int W, int GS, int P = kNarrow<T, W> ? 1 : kChains>
void gather_run(const GroupedProduct<T>& p, const Run& run, int64_t pixels, const T* source, T* out) {
  constexpr int NV = kNarrow<T, W> ? 1 : kChains / P;
  const int64_t C = p.g.C, out_step = p.g.w.down * C;
  for (; pixels >= P; pixels -= P, source += P * p.g.w.up * C, out += P * out_step) {
    int64_t c = 0;
    for (; c + NV * W <= C; c += NV * W) gather_tile<T, W, GS, P, NV>(p, run, source, c, out);
    for (; c < C; c += W) gather_tile<T, W, GS, P, 1>(p, run, source, min_of(c, C - W), out);
    if (p.epilogue) finish_pixels(*p.epilogue, C, P, out_step, out - p.destination, p.destination);
  }
  if constexpr (P > 1) gather_run<T, W, GS, P / 2>(p, run, pixels, source, out);
}

// Calls start(part), then f(row, run, part) for the runs of all rows of a part; there are at most `parts`.
template <typename Start, typename F>
void for_all_runs(const Gather& g, int64_t GS, int64_t parts, Start&& start, F&& f) {
  constexpr double kSerial = 1e6;  // operations; there are few for each byte that is moved
  const int64_t rows = g.N * g.h.destination, size = tap_storage(g);
  const double operations = 2.0 * static_cast<double>(rows * g.w.destination * g.C) * static_cast<double>(size * GS);
  const int threads = num_threads();
  Workspace<Tap> storage(threads * size);
  run_tasks(
      operations < kSerial, min_of(parts, rows),
      [&](int64_t part, int worker) {
        const int64_t count = min_of(parts, rows);
        start(part);
        for (int64_t row = part * rows / count; row < (part + 1) * rows / count; ++row)
          for_each_run(g, row % g.h.destination, storage.data() + worker * size,
                       [&](const Run& r) { f(row, r, part); });
      },
      threads);
}

template <typename T, int W, int GS>
void grouped_gather(const GroupedProduct<T>& p) {
  const Gather& g = p.g;
  const auto nothing = [](int64_t) {};
  for_all_runs(g, GS, 64, nothing, [&](int64_t row, const Run& run, int64_t) {
    const T* image = p.source + row / g.h.destination * g.h.source * g.w.source * g.C;
    gather_run<T, W, GS>(p, run, run.pixels, image, p.destination + (row * g.w.destination + run.first) * g.C);
  });
}

template <typename T>
void grouped_forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  const bool plain = !e.scale && !e.bias && !e.relu && !e.residual && !e.relu_last;
  const int64_t GS = s.IC / s.G;
  Workspace<T> lanes(s.KH * s.KW * GS * s.IC);
  for_each_weight(s, [&](int64_t from, int64_t c, int64_t o, int64_t tap, int64_t i) {
    lanes.data()[(tap * GS + i) * s.IC + c + o] = weight[from];
  });
  const GroupedProduct<T> product{forward_gather(s), x, lanes.data(), plain ? nullptr : &e, y};
  with_group<T>(s, [&](auto W, auto size) { grouped_gather<T, W, size>(product); });
}

template <typename T>
void grouped_backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  const int64_t GS = s.IC / s.G;
  Workspace<T> lanes(s.KH * s.KW * GS * s.IC);
  for_each_weight(s, [&](int64_t from, int64_t c, int64_t o, int64_t tap, int64_t i) {
    lanes.data()[(tap * GS + o) * s.IC + c + i] = weight[from];
  });
  const GroupedProduct<T> product{backward_gather(s), grad_y, lanes.data(), nullptr, grad_x};
  with_group<T>(s, [&](auto W, auto size) { grouped_gather<T, W, size>(product); });
}

// Sums that fit the registers: NT taps times KB channels of grad_y's group, of which GS == 8 takes two rounds.
template <int GS>
constexpr int kGradients = GS < 4 ? GS : 4;
template <typename T, int W, int GS>
constexpr int kWeightTaps = kNarrow<T, W> ? 1
                            : GS == 1     ? 9
                            : GS == 2     ? 5
                                          : 3;

// Channels of a row of sums: whole vectors. The last one overlaps the one before, and its sums stand apart from those.
template <int W>
struct SumRow {
  int64_t C, size;
  explicit SumRow(int64_t channels) : C(channels), size(divide_up(channels, W) * W) {}
  int64_t place(int64_t c) const { return c < C / W * W ? c : size - C + c; }
};

// sums[tap][k][place of c ...] += grad_y[pixel][k of the group] * x[pixel of the tap][c ...], k from `first` on
template <typename T, int W, int GS, int first, int NT>
inline void weight_tile(const Gather& g, const Tap* taps, int64_t pixels, const T* grad_y, const T* source, int64_t row,
                        T* sums) {
  using L = Lanes<T, W>;
  using V = typename L::Vector;
  constexpr int KB = kGradients<GS>;
  const int64_t step = g.w.up * g.C;
  V total[NT][KB];
  const T* x[NT];
  for (int t = 0; t < NT; ++t) {
    x[t] = source + taps[t].at * g.C;
    for (int k = 0; k < KB; ++k) total[t][k] = L::load(sums + (taps[t].k * GS + first + k) * row);
  }
  for (int64_t i = 0; i < pixels * step; i += step, grad_y += g.C)
    unrolled<KB>([&](auto k) {
      const V grad = spread<T, W, GS, first + k>(grad_y);
      for (int t = 0; t < NT; ++t) total[t][k] += grad * L::load(x[t] + i);
    });
  for (int t = 0; t < NT; ++t)
    for (int k = 0; k < KB; ++k) L::store(sums + (taps[t].k * GS + first + k) * row, total[t][k]);
}

// All taps of a run, as evenly cut as they go into tiles of at most kWeightTaps.
template <typename T, int W, int GS, int NT = kWeightTaps<T, W, GS>>
void weight_taps(const Gather& g, const Tap* taps, int64_t count, int64_t pixels, const T* grad_y, const T* source,
                 int64_t row, T* sums) {
  if constexpr (NT > 0) {
    while (count > 0 && divide_up(count, divide_up(count, kWeightTaps<T, W, GS>)) == NT) {
      weight_tile<T, W, GS, 0, NT>(g, taps, pixels, grad_y, source, row, sums);
      if constexpr (GS == 8) weight_tile<T, W, GS, 4, NT>(g, taps, pixels, grad_y, source, row, sums);
      taps += NT, count -= NT;
    }
    weight_taps<T, W, GS, NT - 1>(g, taps, count, pixels, grad_y, source, row, sums);
  }
}

template <typename T, int W, int GS>
void weight_run(const Gather& g, const Run& run, const T* grad_y, const T* source, T* sums) {
  constexpr int64_t kPixels = 16;  // what their windows read stays in the first cache
  const int64_t row = SumRow<W>(g.C).size;
  for (int64_t i = 0; i < run.pixels; i += kPixels, grad_y += kPixels * g.C, source += kPixels * g.w.up * g.C)
    for (int64_t slot = 0; slot < row; slot += W) {
      const int64_t c = min_of(slot, g.C - W);
      weight_taps<T, W, GS>(g, run.taps, run.count, min_of(kPixels, run.pixels - i), grad_y + c, source + c, row,
                            sums + slot);
    }
}

template <typename T, int W, int GS>
void grouped_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  const Gather g = forward_gather(s);
  const SumRow<W> row(s.IC);
  const int64_t parts = min_of(16, s.N * s.OH), size = s.KH * s.KW * GS * row.size;
  Workspace<T> partial(parts * size);
  T* const sums = partial.data();
  for_all_runs(
      g, GS, parts,
      [&](int64_t part) {
        for (int64_t i = 0; i < size; ++i) sums[part * size + i] = T(0);
      },
      [&](int64_t i, const Run& run, int64_t part) {
        const T* image = x + i / s.OH * s.IH * s.IW * s.IC;
        weight_run<T, W, GS>(g, run, grad_y + (i * s.OW + run.first) * s.OC, image, sums + part * size);
      });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < size; ++i) sums[i] += sums[part * size + i];
  for_each_weight(s, [&](int64_t to, int64_t c, int64_t o, int64_t tap, int64_t i) {
    grad_weight[to] = sums[(tap * GS + o) * row.size + row.place(c + i)];
  });
}

template <typename T>
void grouped_backward_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  with_group<T>(s, [&](auto W, auto GS) { grouped_weight<T, W, GS>(s, grad_y, x, grad_weight); });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
