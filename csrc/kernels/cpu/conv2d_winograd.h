// 3x3 convolution with stride 1, any dilation, by Winograd's minimal filtering: see winograd.h and docs/convolution.md.
// Forward and backward-input. Per tile and channel the inputs are transformed to S x S values (V), the weights too (U);
// then S * S small matrix products (tiles x C) * (C x K) take the place of 9 large ones, and their sums are transformed
// back. F is Winograd2<T> or Winograd4<T>; "place" is one of the S * S.
#pragma once
#include "kernels/cpu/conv2d_tiles.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/winograd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int64_t kTilesAtOnce = 48;         // of one pass over a panel of transformed weights
constexpr int64_t kPrivateFloats = 65536;    // of V that stay in a core's L2 beside a panel of weights
constexpr int64_t kSharedFloats = 5 << 18;   // of V that stay in L3, shared by all threads
constexpr double kSmallWeights = 128 * 128;  // C * K up to which all of U is kept
constexpr int64_t kSkew = 16;                // keeps strides off powers of two, which share cache sets

// The weights of one convolution as b(tap, c, k) = weight[tap * tap_stride + c * c_stride + k * k_stride].
struct WinogradWeights {
  int64_t C, K;  // summed over, put out
  int64_t tap, c, k;
  bool flipped;  // taps from last to first, for backward-input
};

// Where the transformed numbers [place][tile][c] lie. Channels are cut into blocks of `channels`.
struct TileLayout {
  int64_t place, block, tile;  // strides
  int64_t channels;
};

// All channels of a tile side by side, for products that sum over channels.
template <typename T>
TileLayout rows_of_channels(int64_t C, int64_t tiles) {
  const int64_t channels = divide_up(C, Vec<T>::width) * Vec<T>::width, tile = channels + kSkew;
  return {tiles * tile + kSkew, 0, tile, channels};
}

// V of tiles [first, first + count); v is that of the first.
template <typename F, typename T>
void transform_inputs(const Tiles& tiles, int64_t first, int64_t count, int64_t C, const T* source, const T* zeros,
                      const TileLayout& layout, T* v) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, W = Vec<T>::width;
  for (int64_t t = 0; t < count; ++t, v += layout.tile) {
    const T* pixel[S][S];
    visit_tile(tiles, first + t, S, tiles.h.in, tiles.w.in, tiles.h.offset, tiles.w.offset,
               [&](int i, int j, int64_t p) { pixel[i][j] = p < 0 ? zeros : source + p * C; });
    for (int64_t c = 0; c < C; c += W) {
      T* to = v + c / layout.channels * layout.block + c % layout.channels;
      const auto transform = [](const V(&d)[S], V(&out)[S]) { F::input(d, out); };
      const auto put = [&](int i, int j, V value) { store(to + (i * S + j) * layout.place, value); };
      if (c + W <= C)
        transform_square<V, S, S>(transform, [&](int i, int j) { return load(pixel[i][j] + c); }, put);
      else
        transform_square<V, S, S>(transform, [&](int i, int j) { return load_first(pixel[i][j] + c, C - c); }, put);
    }
  }
}

// U[place][c][kPanel] of one panel of weights, places u_place apart.
template <typename F, typename T>
void transform_weights(const WinogradWeights& w, const T* weight, int64_t column, T* u, int64_t u_place) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S;
  constexpr int64_t P = kPanel<T>, kRows = 16;
  T taps[9 * kRows * P];
  for (int64_t c0 = 0; c0 < w.C; c0 += kRows) {
    const int64_t rows = min_of(kRows, w.C - c0);
    for (int64_t tap = 0; tap < 9; ++tap)
      pack_panel(rows, min_of(P, w.K - column), weight + (w.flipped ? 8 - tap : tap) * w.tap + c0 * w.c + column * w.k,
                 w.c, w.k, taps + tap * kRows * P);
    for (int64_t i = 0; i < rows * P; i += Vec<T>::width)
      transform_square<V, 3, S>([](const V(&g)[3], V(&out)[S]) { F::weight(g, out); },
                                [&](int kh, int kw) { return load(taps + (kh * 3 + kw) * kRows * P + i); },
                                [&](int y, int x, V value) { store(u + (y * S + x) * u_place + c0 * P + i, value); });
  }
}

// The product of one place: out[m][kPanel] = sum_k a[m * a_m + k * a_k] * b[k][kPanel].
template <typename T, int NV>
void dense_tiles(int64_t rows, int64_t K, const T* a, int64_t a_m, int64_t a_k, const T* b, T* out) {
  for (int64_t k = 0; k < K; k += kBlock)
    for (int64_t m = 0; m < rows; m += tile_rows(NV))
      with_rows<tile_rows(NV)>(rows - m, [&](auto MR) {
        dense_tile<T, MR, NV>(min_of(kBlock, K - k), a + m * a_m + k * a_k, a_m, a_k, b + k * kPanel<T>, k > 0,
                              out + m * kPanel<T>);
      });
}

template <typename T>
void multiply_dense(int64_t rows, int64_t K, int64_t columns, const T* a, int64_t a_m, int64_t a_k, const T* b,
                    T* out) {
  if (columns <= Vec<T>::width)
    dense_tiles<T, 1>(rows, K, a, a_m, a_k, b, out);
  else
    dense_tiles<T, kTileVectors>(rows, K, a, a_m, a_k, b, out);
}

// From M to the pixels of y, through the epilogue.
template <typename F, typename T>
void transform_outputs(const Tiles& tiles, int64_t first, int64_t count, int64_t K, int64_t column, const T* m,
                       int64_t m_place, const Epilogue<T>& e, T* y) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, M = F::M, W = Vec<T>::width;
  for (int64_t t = 0; t < count; ++t, m += kPanel<T>) {
    int64_t pixel[M][M];
    visit_tile(tiles, first + t, M, tiles.h.out, tiles.w.out, 0, 0, [&](int i, int j, int64_t p) { pixel[i][j] = p; });
    for (int64_t k = column; k < min_of(column + kPanel<T>, K); k += W) {
      const int64_t width = min_of(W, K - k);
      V scale[1] = {}, bias[1] = {};
      if (e.scale) load_columns<T, 1>(e.scale + k, width, scale);
      if (e.bias) load_columns<T, 1>(e.bias + k, width, bias);
      transform_square<V, S, M>([](const V(&p)[S], V(&out)[M]) { F::output(p, out); },
                                [&](int i, int j) { return load(m + (i * S + j) * m_place + k - column); },
                                [&](int i, int j, V sum) {
                                  if (pixel[i][j] < 0) return;
                                  const int64_t place = pixel[i][j] * K + k;
                                  V residual[1] = {}, value[1];
                                  if (e.residual) load_columns<T, 1>(e.residual + place, width, residual);
                                  value[0] = finished(e, sum, scale[0], bias[0], residual[0]);
                                  store_columns<T, 1>(y + place, width, value);
                                });
    }
  }
}

// One panel of outputs for tiles [first, first + count), kTilesAtOnce at a time; v is that of the first.
template <typename F, typename T>
struct PanelPass {
  const Tiles& tiles;
  int64_t C, K;
  const Epilogue<T>& epilogue;
  T* y;

  static constexpr int64_t m_place = kTilesAtOnce * kPanel<T> + kSkew;
  static constexpr int64_t m_size = F::S * F::S * m_place;

  void operator()(int64_t first, int64_t count, const TileLayout& layout, const T* v, int64_t column, const T* u,
                  int64_t u_place, T* m) const {
    for (int64_t t = 0; t < count; t += kTilesAtOnce) {
      const int64_t some = min_of(kTilesAtOnce, count - t);
      for (int place = 0; place < F::S * F::S; ++place)
        multiply_dense(some, C, K - column, v + place * layout.place + t * layout.tile, layout.tile, 1,
                       u + place * u_place, m + place * m_place);
      transform_outputs<F>(tiles, first + t, some, K, column, m, m_place, epilogue, y);
    }
  }
};

// Small weights: all are transformed first, then every thread takes pieces of tiles from input to output, in its own
// L2.
template <typename F, typename T>
void winograd_by_tiles(const PanelPass<F, T>& pass, const WinogradWeights& w, const T* source, const T* weight,
                       const T* zeros, bool serial) {
  constexpr int64_t places = F::S * F::S, step = tile_rows(kTileVectors);
  const int64_t panels = panels_of<T>(w.K), u_place = w.C * kPanel<T> + kSkew;
  const int64_t count = max_of(step, min_of(kTilesAtOnce, kPrivateFloats / (places * w.C)) / step * step);
  const TileLayout layout = rows_of_channels<T>(w.C, count);
  const int threads = num_threads();
  Workspace<T> u(panels * places * u_place), v(threads * places * layout.place), m(threads * pass.m_size);
  const auto prepare = [&](int64_t panel, int) {
    transform_weights<F>(w, weight, panel * kPanel<T>, u.data() + panel * places * u_place, u_place);
  };
  const auto run = [&](int64_t piece, int worker) {
    const int64_t first = piece * count, some = min_of(count, pass.tiles.count - first);
    T* own = v.data() + worker * places * layout.place;
    transform_inputs<F>(pass.tiles, first, some, w.C, source, zeros, layout, own);
    for (int64_t panel = 0; panel < panels; ++panel)
      pass(first, some, layout, own, panel * kPanel<T>, u.data() + panel * places * u_place, u_place,
           m.data() + worker * pass.m_size);
  };
  run_tasks(serial, panels, prepare, threads);
  run_tasks(serial, divide_up(pass.tiles.count, count), run, threads);
}

// Large weights: a chunk of tiles is transformed by all threads, then every thread takes panels of outputs, whose
// weights it transforms on the fly and uses for the whole chunk: they never reach memory.
template <typename F, typename T>
void winograd_by_panels(const PanelPass<F, T>& pass, const WinogradWeights& w, const T* source, const T* weight,
                        const T* zeros, bool serial) {
  constexpr int64_t places = F::S * F::S, kSome = 8;
  const int64_t total = pass.tiles.count, u_place = w.C * kPanel<T> + kSkew;
  const int64_t chunk = divide_up(total, divide_up(total, max_of(kTilesAtOnce, kSharedFloats / (places * w.C))));
  const TileLayout layout = rows_of_channels<T>(w.C, chunk);
  const int threads = num_threads();
  Workspace<T> u(threads * places * u_place), v(places * layout.place), m(threads * pass.m_size);
  for (int64_t first = 0; first < total; first += chunk) {
    const int64_t count = min_of(chunk, total - first);
    const auto prepare = [&](int64_t piece, int) {
      const int64_t t = piece * kSome;
      transform_inputs<F>(pass.tiles, first + t, min_of(kSome, count - t), w.C, source, zeros, layout,
                          v.data() + t * layout.tile);
    };
    const auto run = [&](int64_t panel, int worker) {
      T* own = u.data() + worker * places * u_place;
      transform_weights<F>(w, weight, panel * kPanel<T>, own, u_place);
      pass(first, count, layout, v.data(), panel * kPanel<T>, own, u_place, m.data() + worker * pass.m_size);
    };
    run_tasks(serial, divide_up(count, kSome), prepare, threads);
    run_tasks(serial, panels_of<T>(w.K), run, threads);
  }
}

template <typename F, typename T>
void winograd_gather(const TileSizes& sizes, const WinogradWeights& w, const T* source, const T* weight,
                     const Epilogue<T>& epilogue, T* y) {
  Workspace<int64_t> starts(starts_of(sizes, F::M));
  const Tiles tiles = make_tiles(sizes, F::M, starts.data());
  Workspace<T> zeros(w.C);
  for (int64_t c = 0; c < w.C; ++c) zeros.data()[c] = T(0);
  const double products = static_cast<double>(w.C) * static_cast<double>(w.K);
  const bool serial = tasks_of(F::S * F::S * products * static_cast<double>(tiles.count)) == 1;
  const PanelPass<F, T> pass{tiles, w.C, w.K, epilogue, y};
  if (products <= kSmallWeights)
    winograd_by_tiles<F>(pass, w, source, weight, zeros.data(), serial);
  else
    winograd_by_panels<F>(pass, w, source, weight, zeros.data(), serial);
}

bool is_winograd(Conv2dAlgorithm algorithm) {
  return algorithm == Conv2dAlgorithm::winograd_2x2 || algorithm == Conv2dAlgorithm::winograd_4x4;
}

template <typename T>
void winograd_forward(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* x, const T* weight,
                      const Epilogue<T>& epilogue, T* y) {
  const WinogradWeights w{s.IC, s.OC, s.IC, 1, 9 * s.IC, false};
  if (algorithm == Conv2dAlgorithm::winograd_2x2)
    winograd_gather<Winograd2<T>>(forward_tiles(s), w, x, weight, epilogue, y);
  else
    winograd_gather<Winograd4<T>>(forward_tiles(s), w, x, weight, epilogue, y);
}

template <typename T>
void winograd_backward_input(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* weight,
                             T* grad_x) {
  const WinogradWeights w{s.OC, s.IC, s.IC, 9 * s.IC, 1, true};
  if (algorithm == Conv2dAlgorithm::winograd_2x2)
    winograd_gather<Winograd2<T>, T>(backward_tiles(s), w, grad_y, weight, {}, grad_x);
  else
    winograd_gather<Winograd4<T>, T>(backward_tiles(s), w, grad_y, weight, {}, grad_x);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
