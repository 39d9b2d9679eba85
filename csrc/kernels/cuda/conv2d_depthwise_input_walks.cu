// Backward to the input of a depthwise convolution of stride 2, by walks: a window of grad_y gives 2 x 2 pixels of
// grad_x, which the taps of even and of odd rows and columns reach. With the padding added, pixel 2m + i of grad_x
// comes from m - j of grad_y through tap i + 2j.
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_walks.h"

namespace atrous {
namespace {

// One row of 2 x strip pixels: the row of grad_y that tap `odd` reads, and those before it.
template <int K, typename Window, int n, typename C>
__device__ void sum_row(const C (&rows)[Window::held][Window::width][n], int last, const C (&filters)[K * K][n],
                        int odd, C (&sums)[2 * Window::strip][n]) {
  constexpr int held = Window::held;
#pragma unroll
  for (int i = 0; i < 2 * Window::strip; ++i)
#pragma unroll
    for (int c = 0; c < n; ++c) sums[i][c] = 0;
#pragma unroll
  for (int kh = odd; kh < K; kh += 2)
#pragma unroll
    for (int kw = 0; kw < K; ++kw)
#pragma unroll
      for (int i = 0; i < Window::strip; ++i)
#pragma unroll
        for (int c = 0; c < n; ++c)
          add_product(rows[(last - kh / 2 + held) % held][i + held - 1 - kw / 2][c], filters[kh * K + kw][c],
                      sums[2 * i + kw % 2][c]);
}

// Stores what there is of a row of 2 x strip pixels from column `left` on, which may lie before the image.
template <bool packs, int count, int n, typename T, typename C>
__device__ void put_row(T* row, int left, int size, int C_left, int stride, const C (&sums)[count][n]) {
  constexpr int m = packs ? n : 1;
#pragma unroll
  for (int i = 0; i < count; ++i)
#pragma unroll
    for (int first = 0; first < n; first += m) {
      Pack<C, m> pack;
#pragma unroll
      for (int j = 0; j < m; ++j) pack.v[j] = sums[i][first + j];
      if (left + i < 0 || left + i >= size || (first > 0 && first >= C_left)) continue;
      store_pack(row + (i * stride + first), round_to<T>(pack));
    }
}

// `cut` is of windows of grad_y, the first of which is at (top, left) / 2 of grad_x with its padding.
template <int K, typename Window, int lanes, bool packs, typename T>
__global__ void __launch_bounds__(kMostThreads, 3)
    input_walks_kernel(Cut cut, int IH, int IW, int top, int left, const T* grad_y, const T* weight, T* grad_x) {
  constexpr int held = Window::held, n = kTapsChannels<K, T>, channels = lanes * n;
  T* const memory = shared_memory<T>();
  const int64_t index = blockIdx.x / cut.chunks;
  const int first_channel = static_cast<int>(blockIdx.x - index * cut.chunks.value()) * channels;
  const Tile tile = Tile::of<Window>(cut, index);
  copy_tile<channels, packs>(grad_y + tile.image * cut.image_h * cut.image_w * cut.C + first_channel, cut.image_h,
                             cut.image_w, cut.C, cut.C - first_channel, tile.top - cut.padding_h,
                             tile.left - cut.padding_w, cut.tile_h, cut.tile_w, memory);
  close_copies();
  const int lane = static_cast<int>(threadIdx.x) % lanes, c = first_channel + lane * n;
  const int line = static_cast<int>(threadIdx.x) / lanes, down = line / cut.strips;
  const int strip = (line - down * cut.strips) * Window::strip, rows = cut.rows_from(tile.top + down * cut.rows);
  Compute<T> filters[K * K][n], grads[held][Window::width][n], sums[2 * Window::strip][n];
  read_filters(weight, c, cut.C, false, filters);
  wait_copies<0>();
  __syncthreads();
  if (down >= cut.down || c >= cut.C) return;
  const T* from = memory + (down * cut.rows * cut.tile_w + strip) * channels + lane * n;
#pragma unroll
  for (int i = 0; i < held - 1; ++i, from += cut.tile_w * channels)
    read_row<Window::width, n, channels>(from, grads[i]);
  const int column = 2 * (tile.left + strip) - left;
  int row = 2 * (tile.top + down * cut.rows) - top;
  T* to = grad_x + ((tile.image * IH + row) * IW + column) * cut.C + c;
  for (int first = 0; first < rows; first += held)
#pragma unroll
    for (int u = 0; u < held; ++u, from += cut.tile_w * channels) {
      if (first + u >= rows) break;
      read_row<Window::width, n, channels>(from, grads[(u + held - 1) % held]);
#pragma unroll
      for (int odd = 0; odd < 2; ++odd, ++row, to += int64_t{IW} * cut.C) {
        if (row < 0 || row >= IH) continue;
        sum_row<K, Window>(grads, u + held - 1, filters, odd, sums);
        put_row<packs>(to, column, IW, cut.C - c, cut.C, sums);
      }
    }
}

template <int K, typename T>
void walk(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  using Reach = Window<(K + 1) / 2, 1>;
  constexpr int taps = Reach::taps, of_thread = kTapsChannels<K, T>;
  const int64_t top = s.ph / 2, left = s.pw / 2;  // windows before the first that there is
  const int64_t H = (s.IH - 1 + s.ph) / 2 - top + 1, W = (s.IW - 1 + s.pw) / 2 - left + 1;
  const Sizes sizes{s.N, s.IC, H, W, s.OH, s.OW, taps - 1 - top, taps - 1 - left};
  const Cut cut = cut_of<Reach, of_thread, T>(sizes, false);
  const auto blocks = static_cast<unsigned>(cut.tiles * cut.chunks.value());
  with_lanes(cut.lanes, [&](auto lanes) {
    with_packs<T>(
        [&](auto n) {
          const int64_t bytes = cut.tile_pixels() * lanes * of_thread * sizeof(T);
          launch_shared(input_walks_kernel<K, Reach, lanes, (n > 1), T>, blocks, static_cast<unsigned>(cut.threads()),
                        narrow(bytes), cut, narrow(s.IH), narrow(s.IW), narrow(s.ph % 2), narrow(s.pw % 2), grad_y,
                        weight, grad_x);
        },
        s.IC, grad_y, grad_x);
  });
}

}  // namespace

template <typename T>
bool backward_input_by_walks_of_2(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  return s.sh == 2 && with_window<T>(s, [&](auto window) { walk<window.taps>(s, grad_y, weight, grad_x); });
}

template bool backward_input_by_walks_of_2(const Conv2dShape&, const float*, const float*, float*);
template bool backward_input_by_walks_of_2(const Conv2dShape&, const double*, const double*, double*);
template bool backward_input_by_walks_of_2(const Conv2dShape&, const Float16*, const Float16*, Float16*);
template bool backward_input_by_walks_of_2(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
