// The gradient of the weights of a 3x3 convolution with stride 1 by Winograd's minimal filtering, see winograd.h:
//   grad_weight = G^T [ sum over tiles of (A e A^T) * (B^T d B) ] G,    e: grad_y of a tile, d: its inputs.
// The tiles are cut into slices by the sizes alone. Each slice ends in a sum of its own, which is transformed back at
// once, so that a partial sum has 9 numbers a pair of channels, not S * S; the partial sums are added in order.
#pragma once
#include "kernels/cpu/conv2d_winograd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// V with the tiles side by side, a few channels at a time, for products that sum over tiles: the register tile reads
// memory in order. The blocks are whole numbers of vectors and of the tile's rows.
template <typename T>
InputLayout rows_of_tiles(int64_t C, int64_t tiles) {
  int64_t channels = Vec<T>::width;
  while (channels % kTileRows != 0) channels += Vec<T>::width;
  const int64_t block = tiles * channels + kSkew;
  return {divide_up(C, channels) * block + kSkew, block, channels, channels};
}

// Z[place][panel][tile][kPanel] of tiles [first, first + count): grad_y transformed. z is that of tile `first`, panels
// are z_panel apart.
template <typename F, typename T>
void transform_grads(const Tiles& tiles, int64_t first, int64_t count, int64_t K, const T* grad_y, const T* zeros, T* z,
                     int64_t z_place, int64_t z_panel) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, M = F::M, W = Vec<T>::width;
  constexpr int64_t P = kPanel<T>;
  for (int64_t t = 0; t < count; ++t, z += P) {
    const T* pixel[M][M];
    visit_tile(tiles, first + t, M, tiles.h.out, tiles.w.out, 0, 0,
               [&](int i, int j, int64_t p) { pixel[i][j] = p < 0 ? zeros : grad_y + p * K; });
    for (int64_t k = 0; k < panels_of<T>(K) * P; k += W) {
      T* to = z + k / P * z_panel + k % P;
      const auto transform = [](const V(&e)[M], V(&out)[S]) { F::grad_output(e, out); };
      const auto put = [&](int i, int j, V value) { store(to + (i * S + j) * z_place, value); };
      if (k + W <= K)
        transform_square<V, M, S>(transform, [&](int i, int j) { return load(pixel[i][j] + k); }, put);
      else
        transform_square<V, M, S>(
            transform, [&](int i, int j) { return load_first(pixel[i][j] + k, max_of(K - k, 0)); }, put);
    }
  }
}

// partial[tap][c][K] of one panel, from D[place][c][kPanel].
template <typename F, typename T>
void transform_sums(int64_t C, int64_t K, int64_t column, const T* d, int64_t d_place, T* partial) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, W = Vec<T>::width;
  for (int64_t c = 0; c < C; ++c)
    for (int64_t k = column; k < min_of(column + kPanel<T>, K); k += W)
      transform_square<V, S, 3>(
          [](const V(&p)[S], V(&g)[3]) { F::grad_weight(p, g); },
          [&](int i, int j) { return load(d + (i * S + j) * d_place + c * kPanel<T> + k - column); },
          [&](int kh, int kw, V g) {
            const V value[1] = {g};
            store_columns<T, 1>(partial + ((kh * 3 + kw) * C + c) * K + k, min_of(W, K - k), value);
          });
}

// How the tiles are cut into slices. V and Z of one should stay in the cache, but a small slice pays for its partial
// sum of 9 C K numbers: where these are more than half of V and Z, a larger slice is better.
struct TileSlices {
  int64_t count, tiles;
};

TileSlices slice_tiles(int64_t tiles, int64_t places, int64_t C, int64_t K) {
  constexpr int64_t kFloats = 1 << 19;
  const int64_t most = min_of(kBlock, max_of(kFloats, 18 * C * K) / (places * (C + K)));
  int64_t count = max_of(1, divide_up(tiles, max_of(most, 8)));
  if (count > 4) count = divide_up(count, 4) * 4;  // even shares
  const int64_t each = divide_up(tiles, count);
  return {divide_up(tiles, each), each};
}

// Sizes and buffers of winograd_slices.
template <typename F, typename T>
struct SliceBuffers {
  static constexpr int64_t places = F::S * F::S;
  InputLayout layout;
  int64_t panels, z_panel, z_place, d_place;

  SliceBuffers(int64_t C, int64_t K, int64_t tiles)
      : layout(rows_of_tiles<T>(C, tiles)),
        panels(panels_of<T>(K)),
        z_panel(tiles * kPanel<T>),
        z_place(panels * z_panel + kSkew),
        d_place(C * kPanel<T> + kSkew) {}
  int64_t v_size() const { return places * layout.place; }
  int64_t z_size() const { return places * z_place; }
  int64_t d_size() const { return places * d_place; }
};

// One slice: inputs and gradients transformed, then one product a place and panel. d holds d_size() for each worker.
template <typename F, typename T>
void winograd_slice(const Conv2dShape& s, const Tiles& tiles, int64_t first, int64_t count, const SliceBuffers<F, T>& b,
                    const T* x, const T* grad_y, const T* zeros, T* v, T* z, T* d, T* partial) {
  constexpr int64_t P = kPanel<T>, kSome = 8;
  const InputLayout& layout = b.layout;
  const auto prepare = [&](int64_t piece, int) {
    const int64_t t = piece * kSome, some = min_of(kSome, count - t);
    transform_inputs<F>(tiles, first + t, some, s.IC, x, zeros, layout, v + t * layout.tile);
    transform_grads<F>(tiles, first + t, some, s.OC, grad_y, zeros, z + t * P, b.z_place, b.z_panel);
  };
  const auto run = [&](int64_t panel, int worker) {
    T* own = d + worker * b.d_size();
    for (int64_t place = 0; place < b.places; ++place)
      for (int64_t c = 0; c < s.IC; c += layout.channels)
        multiply_dense(min_of(layout.channels, s.IC - c), count, s.OC - panel * P,
                       v + place * layout.place + c / layout.channels * layout.block, 1, layout.tile,
                       z + place * b.z_place + panel * b.z_panel, own + place * b.d_place + c * P);
    transform_sums<F>(s.IC, s.OC, panel * P, own, b.d_place, partial);
  };
  const int threads = num_threads();
  parallel_for(divide_up(count, kSome), prepare, threads);
  parallel_for(b.panels, run, threads);
}

// partial[slice][tap][c][K]. Where there are many slices, each is one thread's from end to end; a parallel_for inside a
// worker runs its pieces in order.
template <typename F, typename T>
void winograd_slices(const Conv2dShape& s, const Tiles& tiles, TileSlices slices, const T* grad_y, const T* x,
                     T* partial) {
  const SliceBuffers<F, T> buffers(s.IC, s.OC, slices.tiles);
  const int threads = num_threads();
  const bool private_slices = slices.count >= 4 * threads;
  const int64_t sets = private_slices ? threads : 1, zero_count = max_of(s.IC, s.OC);
  Workspace<T> v(sets * buffers.v_size()), z(sets * buffers.z_size()), d(threads * buffers.d_size()), zeros(zero_count);
  for (int64_t i = 0; i < zero_count; ++i) zeros.data()[i] = T(0);
  const auto run = [&](int64_t slice, int worker) {
    const int64_t first = slice * slices.tiles, set = private_slices ? worker : 0;
    winograd_slice<F>(s, tiles, first, min_of(slices.tiles, tiles.count - first), buffers, x, grad_y, zeros.data(),
                      v.data() + set * buffers.v_size(), z.data() + set * buffers.z_size(),
                      d.data() + set * buffers.d_size(), partial + slice * 9 * s.IC * s.OC);
  };
  run_tasks(!private_slices, slices.count, run, threads);
}

// finish(slices, partial) adds the slices' sums.
template <typename F, typename T, typename Finish>
void winograd_weight(const Conv2dShape& s, const T* grad_y, const T* x, Finish&& finish) {
  Workspace<int64_t> starts(starts_of(forward_tiles(s), F::M));
  const Tiles tiles = make_tiles(forward_tiles(s), F::M, starts.data());
  const TileSlices slices = slice_tiles(tiles.count, F::S * F::S, s.IC, s.OC);
  Workspace<T> partial(slices.count * 9 * s.IC * s.OC);
  winograd_slices<F>(s, tiles, slices, grad_y, x, partial.data());
  finish(slices.count, partial.data());
}

template <typename T, typename Finish>
void winograd_backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                              Finish&& finish) {
  if (algorithm == Conv2dAlgorithm::winograd_2x2)
    winograd_weight<Winograd2<T>>(s, grad_y, x, finish);
  else
    winograd_weight<Winograd4<T>>(s, grad_y, x, finish);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
