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

// Place of weight[g, o][tap][i] in lanes[tap][k][C], where k is i and o a lane, or the other way round.
enum class LaneOf { output, input };

inline int64_t lane_index(const Conv2dShape& s, LaneOf lane, int64_t g, int64_t o, int64_t tap, int64_t i) {
  const int64_t GS = s.IC / s.G;
  return lane == LaneOf::output ? (tap * GS + i) * s.IC + g * GS + o : (tap * GS + o) * s.IC + g * GS + i;
}

// Calls f(place in the weight, place in lanes).
template <typename F>
void for_each_weight(const Conv2dShape& s, LaneOf lane, F&& f) {
  const int64_t taps = s.KH * s.KW, GS = s.IC / s.G;
  int64_t at = 0;
  for (int64_t g = 0; g < s.G; ++g)
    for (int64_t o = 0; o < GS; ++o)
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t i = 0; i < GS; ++i) f(at++, lane_index(s, lane, g, o, tap, i));
}

template <typename T>
struct GroupedProduct {
  Gather g;
  const T *source, *lanes;
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
  if (const Epilogue<T>* e = p.epilogue) {
    for (int j = 0; j < NV; ++j) {
      const int64_t channel = c + j * W;
      const V scale = e->scale ? L::load(e->scale + channel) : V{}, bias = e->bias ? L::load(e->bias + channel) : V{};
      for (int i = 0; i < P; ++i) {
        const int64_t place = out + i * out_step + channel - p.destination;
        sums[i][j] = finished<V>(*e, sums[i][j], scale, bias, e->residual ? L::load(e->residual + place) : V{});
      }
    }
  }
  for (int i = 0; i < P; ++i)
    for (int j = 0; j < NV; ++j) L::store(out + i * out_step + c + j * W, sums[i][j]);
}

// Pixels of a run, P at a time and then fewer; few pixels do several vectors of channels at a time.
template <typename T, int W, int GS, int P = kChains>
void gather_run(const GroupedProduct<T>& p, const Run& run, int64_t pixels, const T* source, T* out) {
  constexpr int NV = kChains / P;
  const int64_t C = p.g.C;
  for (; pixels >= P; pixels -= P, source += P * p.g.w.up * C, out += P * p.g.w.down * C) {
    int64_t c = 0;
    for (; c + NV * W <= C; c += NV * W) gather_tile<T, W, GS, P, NV>(p, run, source, c, out);
    for (; c < C; c += W) gather_tile<T, W, GS, P, 1>(p, run, source, min_of(c, C - W), out);
  }
  if constexpr (P > 1) gather_run<T, W, GS, P / 2>(p, run, pixels, source, out);
}

// Calls f(row, run, part, worker) for the runs of all rows of the destination, shared out in at most `parts` parts.
template <typename F>
void for_all_runs(const Gather& g, int64_t GS, int64_t parts, F&& f) {
  constexpr double kSerial = 1e6;  // operations; there are few for each byte that is moved
  const int64_t rows = g.N * g.h.destination, size = tap_storage(g);
  const double operations = 2.0 * static_cast<double>(rows * g.w.destination * g.C) * static_cast<double>(size * GS);
  const int threads = num_threads();
  Workspace<Tap> storage(threads * size);
  run_tasks(
      operations < kSerial, min_of(parts, rows),
      [&](int64_t part, int worker) {
        const int64_t count = min_of(parts, rows);
        for (int64_t row = part * rows / count; row < (part + 1) * rows / count; ++row)
          for_each_run(g, row % g.h.destination, storage.data() + worker * size,
                       [&](const Run& r) { f(row, r, part); });
      },
      threads);
}

template <typename T, int W, int GS>
void grouped_gather(const GroupedProduct<T>& p) {
  const Gather& g = p.g;
  for_all_runs(g, GS, 64, [&](int64_t row, const Run& run, int64_t) {
    const T* image = p.source + row / g.h.destination * g.h.source * g.w.source * g.C;
    gather_run<T, W, GS>(p, run, run.pixels, image, p.destination + (row * g.w.destination + run.first) * g.C);
  });
}

template <typename T>
void grouped_forward(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& epilogue, T* y) {
  const Epilogue<T>& e = epilogue;
  const bool plain = !e.scale && !e.bias && !e.relu && !e.residual && !e.relu_last;
  Workspace<T> lanes(s.KH * s.KW * s.IC / s.G * s.IC);
  for_each_weight(s, LaneOf::output, [&](int64_t from, int64_t to) { lanes.data()[to] = weight[from]; });
  const GroupedProduct<T> product{forward_gather(s), x, lanes.data(), plain ? nullptr : &e, y};
  with_group<T>(s, [&](auto W, auto GS) { grouped_gather<T, W, GS>(product); });
}

template <typename T>
void grouped_backward_input(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  Workspace<T> lanes(s.KH * s.KW * s.IC / s.G * s.IC);
  for_each_weight(s, LaneOf::input, [&](int64_t from, int64_t to) { lanes.data()[to] = weight[from]; });
  const GroupedProduct<T> product{backward_gather(s), grad_y, lanes.data(), nullptr, grad_x};
  with_group<T>(s, [&](auto W, auto GS) { grouped_gather<T, W, GS>(product); });
}

// Sums that fit the registers: NT taps times channels k in [first, first + KB) of grad_y's group.
template <int GS>
constexpr int kBlockOfGroup = GS < 4 ? GS : 4;
template <int GS>
constexpr int kWeightTaps = GS == 1 ? 9 : 12 / kBlockOfGroup<GS> - (GS == 2);

// sums[tap][k][c ...] += grad_y[pixel][k of the group] * x[pixel of the tap][c ...]
template <typename T, int W, int GS, int first, int NT>
inline void weight_tile(const Gather& g, const Tap* taps, int64_t pixels, const T* grad_y, const T* source, int64_t c,
                        T* sums) {
  using L = Lanes<T, W>;
  using V = typename L::Vector;
  constexpr int KB = kBlockOfGroup<GS>;
  const int64_t C = g.C, step = g.w.up * C;
  V total[NT][KB];
  const T* x[NT];
  for (int t = 0; t < NT; ++t) {
    x[t] = source + taps[t].at * C + c;
    for (int k = 0; k < KB; ++k) total[t][k] = L::load(sums + (taps[t].k * GS + first + k) * C + c);
  }
  grad_y += c;
  for (int64_t i = 0; i < pixels * step; i += step, grad_y += C)
    unrolled<KB>([&](auto k) {
      const V grad = spread<T, W, GS, first + k>(grad_y);
      for (int t = 0; t < NT; ++t) total[t][k] += grad * L::load(x[t] + i);
    });
  for (int t = 0; t < NT; ++t)
    for (int k = 0; k < KB; ++k) L::store(sums + (taps[t].k * GS + first + k) * C + c, total[t][k]);
}

// All taps of a run, as evenly cut as they go into tiles of at most kWeightTaps.
template <typename T, int W, int GS, int NT = kWeightTaps<GS>>
void weight_taps(const Gather& g, const Tap* taps, int64_t count, int64_t pixels, const T* grad_y, const T* source,
                 int64_t c, T* sums) {
  if constexpr (NT > 0) {
    while (count > 0 && divide_up(count, divide_up(count, kWeightTaps<GS>)) == NT) {
      weight_tile<T, W, GS, 0, NT>(g, taps, pixels, grad_y, source, c, sums);
      if constexpr (GS == 8) weight_tile<T, W, GS, 4, NT>(g, taps, pixels, grad_y, source, c, sums);
      taps += NT, count -= NT;
    }
    weight_taps<T, W, GS, NT - 1>(g, taps, count, pixels, grad_y, source, c, sums);
  }
}

template <typename T, int W, int GS>
void weight_run(const Gather& g, const Run& run, const T* grad_y, const T* source, T* sums) {
  constexpr int64_t kPixels = 16;  // what their windows read stays in the first cache
  for (int64_t i = 0; i < run.pixels; i += kPixels, grad_y += kPixels * g.C, source += kPixels * g.w.up * g.C) {
    const int64_t pixels = min_of(kPixels, run.pixels - i);
    int64_t c = 0;
    for (; c + W <= g.C; c += W) weight_taps<T, W, GS>(g, run.taps, run.count, pixels, grad_y, source, c, sums);
    for (; c < g.C; c += GS) weight_taps<T, GS, GS>(g, run.taps, run.count, pixels, grad_y, source, c, sums);
  }
}

template <typename T>
void grouped_backward_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  const Gather g = forward_gather(s);
  const int64_t parts = min_of(16, s.N * s.OH), size = s.KH * s.KW * s.IC / s.G * s.IC;
  Workspace<T> partial(parts * size);
  for (int64_t i = 0; i < parts * size; ++i) partial.data()[i] = T(0);
  with_group<T>(s, [&](auto W, auto GS) {
    for_all_runs(g, GS, parts, [&](int64_t row, const Run& run, int64_t part) {
      const T* image = x + row / s.OH * s.IH * s.IW * s.IC;
      weight_run<T, W, GS>(g, run, grad_y + (row * s.OW + run.first) * s.OC, image, partial.data() + part * size);
    });
  });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < size; ++i) partial.data()[i] += partial.data()[part * size + i];
  for_each_weight(s, LaneOf::input, [&](int64_t to, int64_t from) { grad_weight[to] = partial.data()[from]; });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
