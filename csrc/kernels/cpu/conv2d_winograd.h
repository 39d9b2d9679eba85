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

constexpr int64_t kTilesAtOnce = 48;  // of one pass over a panel of weights, when the transformed inputs are shared
constexpr int64_t kPrivateFloats = 65536;  // of transformed inputs that stay in a core's L2
constexpr int64_t kSharedFloats = int64_t{1} << 21;
constexpr int64_t kSkew = 16;  // numbers between places, so that they do not fall on the same lines of the cache

template <typename T>
inline int64_t padded_channels(int64_t C) {
  return divide_up(C, Vec<T>::width) * Vec<T>::width;
}

// The weights of one convolution as b(tap, c, k) = weight[tap * tap_stride + c * c_stride + k * k_stride].
struct WinogradWeights {
  int64_t C, K;  // summed over, put out
  int64_t tap, c, k;
  bool flipped;  // taps from last to first, for backward-input
};

// V[place][tile][c] of tiles [first, first + count), places v_place apart.
template <typename F, typename T>
void transform_inputs(const Tiles& tiles, int64_t first, int64_t count, int64_t C, const T* source, const T* zeros,
                      T* v, int64_t v_place) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, W = Vec<T>::width;
  const int64_t CP = padded_channels<T>(C);
  for (int64_t t = 0; t < count; ++t, v += CP) {
    const T* pixel[S][S];
    visit_tile(tiles, first + t, S, tiles.h.in, tiles.w.in, tiles.h.offset, tiles.w.offset,
               [&](int i, int j, int64_t p) { pixel[i][j] = p < 0 ? zeros : source + p * C; });
    for (int64_t c = 0; c < CP; c += W) {
      const auto transform = [](const V(&d)[S], V(&out)[S]) { F::input(d, out); };
      const auto put = [&](int i, int j, V value) { store(v + (i * S + j) * v_place + c, value); };
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

// M[place][tile][kPanel] = V[place] (tiles x C) * U[place] (C x kPanel).  rows[t] is v of tile t, out[t] is m of tile
// t.
template <typename F, typename T>
void multiply_places(int64_t count, int64_t C, int64_t columns, const T* const* rows, int64_t v_place, const T* u,
                     int64_t u_place, T* const* out, int64_t m_place) {
  for (int place = 0; place < F::S * F::S; ++place)
    for (int64_t c = 0; c < C; c += kBlock) {
      const auto tiles = [&](auto vectors) {
        constexpr int NV = decltype(vectors)::value;
        for (int64_t t = 0; t < count; t += tile_rows(NV)) {
          const Segment<T> segment{rows + t, place * v_place + c, c, min_of(kBlock, C - c)};
          const TileOutput<T> to{out + t, place * m_place, NV * Vec<T>::width, c > 0, nullptr, nullptr};
          run_row_tile<T, NV>(count - t, &segment, 1, u + place * u_place, to);
        }
      };
      if (columns <= Vec<T>::width)
        tiles(std::integral_constant<int, 1>{});
      else
        tiles(std::integral_constant<int, kTileVectors>{});
    }
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

  void operator()(int64_t first, int64_t count, const T* v, int64_t v_place, int64_t column, const T* u,
                  int64_t u_place, T* m) const {
    const T* rows[kTilesAtOnce];
    T* out[kTilesAtOnce];
    for (int64_t t0 = 0; t0 < count; t0 += kTilesAtOnce) {
      const int64_t some = min_of(kTilesAtOnce, count - t0);
      for (int64_t t = 0; t < some; ++t) {
        rows[t] = v + (t0 + t) * padded_channels<T>(C);
        out[t] = m + t * kPanel<T>;
      }
      multiply_places<F>(some, C, K - column, rows, v_place, u, u_place, out, m_place);
      transform_outputs<F>(tiles, first + t0, some, K, column, m, m_place, epilogue, y);
    }
  }
};

// Small weights: all are transformed first, then every thread takes pieces of tiles from input to output, in its own
// L2.
template <typename F, typename T>
void winograd_by_tiles(const PanelPass<F, T>& pass, const WinogradWeights& w, const T* source, const T* weight,
                       const T* zeros, bool serial) {
  constexpr int64_t places = F::S * F::S;
  const int64_t CP = padded_channels<T>(w.C), panels = panels_of<T>(w.K), u_place = w.C * kPanel<T> + kSkew;
  const int64_t most = max_of(tile_rows(kTileVectors), kPrivateFloats / (places * CP));
  const int64_t count = min_of(kTilesAtOnce, most / tile_rows(kTileVectors) * tile_rows(kTileVectors));
  const int64_t v_place = count * CP + kSkew;
  const int threads = num_threads();
  Workspace<T> u(panels * places * u_place), v(threads * places * v_place), m(threads * pass.m_size);
  run_tasks(
      serial, panels,
      [&](int64_t panel, int) {
        transform_weights<F>(w, weight, panel * kPanel<T>, u.data() + panel * places * u_place, u_place);
      },
      threads);
  run_tasks(
      serial, divide_up(pass.tiles.count, count),
      [&](int64_t piece, int worker) {
        const int64_t first = piece * count, some = min_of(count, pass.tiles.count - first);
        T* own = v.data() + worker * places * v_place;
        transform_inputs<F>(pass.tiles, first, some, w.C, source, zeros, own, v_place);
        for (int64_t panel = 0; panel < panels; ++panel)
          pass(first, some, own, v_place, panel * kPanel<T>, u.data() + panel * places * u_place, u_place,
               m.data() + worker * pass.m_size);
      },
      threads);
}

// Large weights: a chunk of tiles is transformed by all threads, then every thread takes panels of outputs, whose
// weights it transforms on the fly and uses for the whole chunk: they never reach memory.
template <typename F, typename T>
void winograd_by_panels(const PanelPass<F, T>& pass, const WinogradWeights& w, const T* source, const T* weight,
                        const T* zeros, bool serial) {
  constexpr int64_t places = F::S * F::S, kSome = 8;
  const int64_t CP = padded_channels<T>(w.C), panels = panels_of<T>(w.K), u_place = w.C * kPanel<T> + kSkew;
  const int64_t chunk = min_of(pass.tiles.count, max_of(kTilesAtOnce, kSharedFloats / (places * CP)));
  const int64_t v_place = chunk * CP + kSkew;
  const int threads = num_threads();
  Workspace<T> u(threads * places * u_place), v(places * v_place), m(threads * pass.m_size);
  for (int64_t first = 0; first < pass.tiles.count; first += chunk) {
    const int64_t count = min_of(chunk, pass.tiles.count - first);
    run_tasks(
        serial, divide_up(count, kSome),
        [&](int64_t piece, int) {
          const int64_t t = piece * kSome;
          transform_inputs<F>(pass.tiles, first + t, min_of(kSome, count - t), w.C, source, zeros, v.data() + t * CP,
                              v_place);
        },
        threads);
    run_tasks(
        serial, panels,
        [&](int64_t panel, int worker) {
          T* own = u.data() + worker * places * u_place;
          transform_weights<F>(w, weight, panel * kPanel<T>, own, u_place);
          pass(first, count, v.data(), v_place, panel * kPanel<T>, own, u_place, m.data() + worker * pass.m_size);
        },
        threads);
  }
}

template <typename F, typename T>
void winograd_gather(const TileSizes& sizes, const WinogradWeights& w, const T* source, const T* weight,
                     const Epilogue<T>& epilogue, T* y) {
  Workspace<int64_t> starts(starts_of(sizes, F::M));
  const Tiles tiles = make_tiles(sizes, F::M, starts.data());
  Workspace<T> zeros(padded_channels<T>(w.C));
  for (int64_t c = 0; c < padded_channels<T>(w.C); ++c) zeros.data()[c] = T(0);
  const double products = static_cast<double>(F::S * F::S * w.C) * static_cast<double>(w.K);
  const bool serial = 2 * products * static_cast<double>(tiles.count) <= kSerialOperations;
  const PanelPass<F, T> pass{tiles, w.C, w.K, epilogue, y};
  if (products <= 36.0 * 128 * 128)
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
