// The gradient of the weights of a 3x3 convolution with stride 1 by Winograd's minimal filtering, see winograd.h:
//   grad_weight = G^T [ sum over tiles of (A e A^T) * (B^T d B) ] G,    e: grad_y of a tile, d: its inputs.
// The tiles are cut into slices by the sizes alone. Each slice ends in a sum of its own, which is transformed back at
// once, so that a partial sum has 9 numbers a pair of channels, not S * S; the partial sums are added in order.
#pragma once
#include "kernels/cpu/conv2d_winograd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

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

// Slices of at most kBlock tiles: the sum over a slice stays in registers from its first tile to its last.
struct TileSlices {
  int64_t count, tiles;
};

TileSlices slice_tiles(int64_t tiles) {
  int64_t count = max_of(1, divide_up(tiles, kBlock));
  if (count > 4) count = divide_up(count, 4) * 4;  // even shares
  return {divide_up(tiles, divide_up(tiles, count)), divide_up(tiles, count)};
}

// One slice, in the order of its buffers: inputs and gradients transformed by pieces, then one product a place and
// panel.
template <typename F, typename T>
void winograd_slice(const Tiles& tiles, int64_t first, int64_t count, int64_t C, int64_t K, const T* x, const T* grad_y,
                    const T* zeros, T* v, T* z, T* d, int64_t d_size, const T** rows, T* partial) {
  constexpr int64_t places = F::S * F::S, P = kPanel<T>, kSome = 8;
  const int64_t CP = padded_channels<T>(C), panels = panels_of<T>(K), threads = num_threads();
  const int64_t v_place = count * CP + kSkew, z_panel = count * P, z_place = panels * z_panel + kSkew;
  const int64_t d_place = C * P + kSkew;
  parallel_for(
      divide_up(count, kSome),
      [&](int64_t piece, int) {
        const int64_t t = piece * kSome, some = min_of(kSome, count - t);
        transform_inputs<F>(tiles, first + t, some, C, x, zeros, v + t * CP, v_place);
        transform_grads<F>(tiles, first + t, some, K, grad_y, zeros, z + t * P, z_place, z_panel);
      },
      static_cast<int>(threads));
  for (int64_t t = 0; t < count; ++t) rows[t] = v + t * CP;
  parallel_for(
      panels,
      [&](int64_t panel, int worker) {
        T* own = d + worker * d_size;
        const int64_t columns = K - panel * P <= Vec<T>::width ? Vec<T>::width : P;
        for (int64_t place = 0; place < places; ++place)
          multiply_columns<T>(C, count, columns, rows, place * v_place, z + place * z_place + panel * z_panel, false,
                              own + place * d_place, P);
        transform_sums<F>(C, K, panel * P, own, d_place, partial);
      },
      static_cast<int>(threads));
}

// partial[slice][tap][c][K]. Where there are many slices, each is one thread's from end to end; a parallel_for inside a
// worker runs its pieces in order.
template <typename F, typename T>
void winograd_slices(const Conv2dShape& s, const Tiles& tiles, TileSlices slices, const T* grad_y, const T* x,
                     T* partial) {
  constexpr int64_t places = F::S * F::S, P = kPanel<T>;
  const int64_t CP = padded_channels<T>(s.IC), panels = panels_of<T>(s.OC);
  const int threads = num_threads();
  const bool own_slices = slices.count >= 4 * threads;
  const int64_t sets = own_slices ? threads : 1, d_size = places * (s.IC * P + kSkew);
  const int64_t v_size = places * (slices.tiles * CP + kSkew), z_size = places * (panels * slices.tiles * P + kSkew);
  const int64_t zero_count = max_of(CP, panels * P);
  Workspace<T> v(sets * v_size), z(sets * z_size), d(threads * d_size), zeros(zero_count);
  Workspace<const T*> rows(sets * slices.tiles);
  for (int64_t i = 0; i < zero_count; ++i) zeros.data()[i] = T(0);
  const auto run = [&](int64_t slice, int worker) {
    const int64_t first = slice * slices.tiles, set = own_slices ? worker : 0;
    winograd_slice<F>(tiles, first, min_of(slices.tiles, tiles.count - first), s.IC, s.OC, x, grad_y, zeros.data(),
                      v.data() + set * v_size, z.data() + set * z_size, d.data() + set * d_size, d_size,
                      rows.data() + set * slices.tiles, partial + slice * 9 * s.IC * s.OC);
  };
  run_tasks(!own_slices, slices.count, run, threads);
}

// finish(slices, partial) adds the slices' sums.
template <typename F, typename T, typename Finish>
void winograd_weight(const Conv2dShape& s, const T* grad_y, const T* x, Finish&& finish) {
  Workspace<int64_t> starts(starts_of(forward_tiles(s), F::M));
  const Tiles tiles = make_tiles(forward_tiles(s), F::M, starts.data());
  const TileSlices slices = slice_tiles(tiles.count);
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
