// The gradient of the weights of a 3x3 convolution with stride 1 by Winograd's minimal filtering, see winograd.h:
//   grad_weight = G^T [ sum over tiles of (A e A^T) * (B^T d B) ] G,    e: grad_y of a tile, d: its inputs.
// The tiles are cut into slices by the sizes alone. Each slice ends in a sum of its own, which is transformed back at
// once, so that a partial sum has 9 numbers a pair of channels, not S * S; the partial sums are added in order.
#pragma once
#include "kernels/cpu/conv2d_weight.h"
#include "kernels/cpu/conv2d_winograd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

// Tiles side by side, a few channels at a time, for products that sum over tiles: the register tile then reads memory
// in order. Those of grad_y become its rows, in blocks of whole vectors and whole register tiles; those of x its
// panels.
template <typename T>
TileLayout rows_of_tiles(int64_t K, int64_t tiles) {
  int64_t channels = Vec<T>::width;
  while (channels % kTileRows != 0) channels += Vec<T>::width;
  const int64_t block = tiles * channels + kSkew;
  return {divide_up(K, channels) * block + kSkew, block, channels, channels};
}

template <typename T>
TileLayout panels_of_tiles(int64_t C, int64_t tiles) {
  const int64_t block = tiles * kPanel<T>;
  return {panels_of<T>(C) * block + kSkew, block, kPanel<T>, kPanel<T>};
}

// Z, grad_y transformed, of tiles [first, first + count); z is that of the first.
template <typename F, typename T>
void transform_grads(const Tiles& tiles, int64_t first, int64_t count, int64_t K, const T* grad_y, const T* zeros,
                     const TileLayout& layout, T* z) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, M = F::M, W = Vec<T>::width;
  for (int64_t t = 0; t < count; ++t, z += layout.tile) {
    const T* pixel[M][M];
    visit_tile(tiles, first + t, M, tiles.h.out, tiles.w.out, 0, 0,
               [&](int i, int j, int64_t p) { pixel[i][j] = p < 0 ? zeros : grad_y + p * K; });
    for (int64_t k = 0; k < K; k += W) {
      T* to = z + k / layout.channels * layout.block + k % layout.channels;
      const auto transform = [](const V(&e)[M], V(&out)[S]) { F::grad_output(e, out); };
      const auto put = [&](int i, int j, V value) { store(to + (i * S + j) * layout.place, value); };
      if (k + W <= K)
        transform_square<V, M, S>(transform, [&](int i, int j) { return load(pixel[i][j] + k); }, put);
      else
        transform_square<V, M, S>(transform, [&](int i, int j) { return load_first(pixel[i][j] + k, K - k); }, put);
    }
  }
}

// grad_weight[k][tap][c] of one panel of c, from D[place][k][kPanel].
template <typename F, typename T>
void transform_sums(int64_t K, int64_t C, int64_t column, const T* d, int64_t d_place, T* grad_weight) {
  using V = typename Vec<T>::type;
  constexpr int S = F::S, W = Vec<T>::width;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t c = column; c < min_of(column + kPanel<T>, C); c += W)
      transform_square<V, S, 3>(
          [](const V(&p)[S], V(&g)[3]) { F::grad_weight(p, g); },
          [&](int i, int j) { return load(d + (i * S + j) * d_place + k * kPanel<T> + c - column); },
          [&](int kh, int kw, V g) {
            const V value[1] = {g};
            store_columns<T, 1>(grad_weight + (k * 9 + kh * 3 + kw) * C + c, min_of(W, C - c), value);
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

// Sizes of the buffers of a slice.
template <typename F, typename T>
struct SliceLayout {
  static constexpr int64_t places = F::S * F::S;
  TileLayout v, z;
  int64_t d_place;

  SliceLayout(int64_t C, int64_t K, int64_t tiles)
      : v(panels_of_tiles<T>(C, tiles)), z(rows_of_tiles<T>(K, tiles)), d_place(K * kPanel<T> + kSkew) {}
  int64_t v_size() const { return places * v.place; }
  int64_t z_size() const { return places * z.place; }
  int64_t d_size() const { return places * d_place; }
};

// One slice: inputs and gradients transformed, then one product a place and panel. d holds d_size() for each worker.
template <typename F, typename T>
void winograd_slice(const Conv2dShape& s, const Tiles& tiles, int64_t first, int64_t count,
                    const SliceLayout<F, T>& layout, const T* x, const T* grad_y, const T* zeros, T* v, T* z, T* d,
                    T* sums) {
  constexpr int64_t P = kPanel<T>, kSome = 8;
  const auto prepare = [&](int64_t piece, int) {
    const int64_t t = piece * kSome, some = min_of(kSome, count - t);
    transform_inputs<F>(tiles, first + t, some, s.IC, x, zeros, layout.v, v + t * layout.v.tile);
    transform_grads<F>(tiles, first + t, some, s.OC, grad_y, zeros, layout.z, z + t * layout.z.tile);
  };
  const auto run = [&](int64_t panel, int worker) {
    T* own = d + worker * layout.d_size();
    for (int64_t place = 0; place < layout.places; ++place)
      for (int64_t k = 0; k < s.OC; k += layout.z.channels)
        multiply_dense(min_of(layout.z.channels, s.OC - k), count, s.IC - panel * P,
                       z + place * layout.z.place + k / layout.z.channels * layout.z.block, 1, layout.z.tile,
                       v + place * layout.v.place + panel * layout.v.block, own + place * layout.d_place + k * P);
    transform_sums<F>(s.OC, s.IC, panel * P, own, layout.d_place, sums);
  };
  const int threads = num_threads();
  parallel_for(divide_up(count, kSome), prepare, threads);
  parallel_for(panels_of<T>(s.IC), run, threads);
}

// Where there are many slices, each is one thread's from end to end; a parallel_for inside a worker runs its pieces in
// order. sums[slice][oc][tap][ic].
template <typename F, typename T>
void winograd_slices(const Conv2dShape& s, const Tiles& tiles, TileSlices slices, const T* grad_y, const T* x,
                     T* sums) {
  const SliceLayout<F, T> layout(s.IC, s.OC, slices.tiles);
  const int threads = num_threads();
  const bool private_slices = slices.count >= 4 * threads;
  const int64_t sets = private_slices ? threads : 1, zero_count = max_of(s.IC, s.OC);
  Workspace<T> v(sets * layout.v_size()), z(sets * layout.z_size()), d(threads * layout.d_size()), zeros(zero_count);
  for (int64_t i = 0; i < zero_count; ++i) zeros.data()[i] = T(0);
  const auto run = [&](int64_t slice, int worker) {
    const int64_t first = slice * slices.tiles, set = private_slices ? worker : 0;
    winograd_slice<F>(s, tiles, first, min_of(slices.tiles, tiles.count - first), layout, x, grad_y, zeros.data(),
                      v.data() + set * layout.v_size(), z.data() + set * layout.z_size(),
                      d.data() + set * layout.d_size(), sums + slice * 9 * s.IC * s.OC);
  };
  run_tasks(!private_slices, slices.count, run, threads);
}

template <typename F, typename T>
void winograd_weight(const Conv2dShape& s, const T* grad_y, const T* x, T* grad_weight) {
  Workspace<int64_t> starts(starts_of(forward_tiles(s), F::M));
  const Tiles tiles = make_tiles(forward_tiles(s), F::M, starts.data());
  const TileSlices slices = slice_tiles(tiles.count, F::S * F::S, s.IC, s.OC);
  if (slices.count == 1) return winograd_slices<F>(s, tiles, slices, grad_y, x, grad_weight);
  const int64_t size = 9 * s.IC * s.OC;
  Workspace<T> partial(slices.count * size);
  winograd_slices<F>(s, tiles, slices, grad_y, x, partial.data());
  add_slices(size < 65536, slices.count, size, partial.data(), grad_weight);
}

template <typename T>
void winograd_backward_weight(const Conv2dShape& s, Conv2dAlgorithm algorithm, const T* grad_y, const T* x,
                              T* grad_weight) {
  if (algorithm == Conv2dAlgorithm::winograd_2x2)
    winograd_weight<Winograd2<T>>(s, grad_y, x, grad_weight);
  else
    winograd_weight<Winograd4<T>>(s, grad_y, x, grad_weight);
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL
