// Depthwise convolution by walks, forward, and backward to the input where the stride is 1: that is a convolution of
// grad_y with the taps in reverse.
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_target.h"
#include "kernels/cuda/conv2d_walks.h"

namespace atrous {
namespace {

// Adds what row kh of the filters makes of a row to a strip's sums, which begin with row 0.
template <typename Window, int n, typename C>
__device__ void add_row(const C (&row)[Window::width][n], const C (&filters)[Window::taps * Window::taps][n], int kh,
                        C (&sums)[Window::strip][n]) {
#pragma unroll
  for (int kw = 0; kw < Window::taps; ++kw)
#pragma unroll
    for (int i = 0; i < Window::strip; ++i)
#pragma unroll
      for (int j = 0; j < n; ++j) {
        const C number = row[i * Window::stride + kw][j], factor = filters[kh * Window::taps + kw][j];
        if (kh == 0 && kw == 0)
          sums[i][j] = number * factor;
        else
          add_product(number, factor, sums[i][j]);
      }
}

// Stores the sums of a strip, or of its first `pixels`, from `at` on, which is channel c of C: as they are or, if not
// `plain`, through the epilogue.
template <bool plain, bool packs, int strip, int n, typename T, typename Sum>
__device__ void put_row(int64_t at, int pixels, int c, int C, const Target<T>& y, const Sum (&sums)[strip][n]) {
  constexpr int m = packs ? n : 1;
#pragma unroll
  for (int i = 0; i < strip; ++i)
#pragma unroll
    for (int first = 0; first < n; first += m) {
      Pack<Sum, m> pack;
#pragma unroll
      for (int j = 0; j < m; ++j) pack.v[j] = sums[i][first + j];
      if (i >= pixels || (first > 0 && c + first >= C)) continue;
      if constexpr (plain)
        store_pack(y.y + at + (i * C + first), round_to<T>(pack));
      else
        y.template put<m>(at - c + i * C, c + first, pack);
    }
}

template <typename Window, int lanes, bool packs, typename T>
__global__ void __launch_bounds__(kMostThreads, packs ? 3 : 2)
    walks_kernel(Cut cut, const T* x, const T* weight, bool reversed, bool plain, Target<T> y) {
  constexpr int held = Window::held, K = Window::taps, S = Window::stride, n = kChannels<Window, T>;
  constexpr int channels = lanes * n;
  T* const memory = shared_memory<T>();
  const int64_t index = blockIdx.x / cut.chunks;
  const int first_channel = static_cast<int>(blockIdx.x - index * cut.chunks.value()) * channels;
  const Tile tile = Tile::of<Window>(cut, index);
  copy_tile<channels, packs>(x + tile.image * cut.image_h * cut.image_w * cut.C + first_channel, cut.image_h,
                             cut.image_w, cut.C, cut.C - first_channel, tile.top * S - cut.padding_h,
                             tile.left * S - cut.padding_w, cut.tile_h, cut.tile_w, memory);
  close_copies();
  const int lane = static_cast<int>(threadIdx.x) % lanes, c = first_channel + lane * n;
  const int line = static_cast<int>(threadIdx.x) / lanes, down = line / cut.strips;
  const int strip = (line - down * cut.strips) * Window::strip, left = tile.left + strip;
  const int top = tile.top + down * cut.rows, rows = cut.rows_from(top);
  Compute<T> filters[K * K][n], row[Window::width][n], sums[held][Window::strip][n];
  read_filters(weight, c, cut.C, reversed, filters);
  wait_copies<0>();
  __syncthreads();
  if (down >= cut.down || rows <= 0 || c >= cut.C || left >= cut.W) return;
  int64_t at = ((tile.image * cut.H + top) * cut.W + left) * cut.C + c;
  const T* from = memory + (down * cut.rows * S * cut.tile_w + strip * S) * channels + lane * n;
  for (int first = 0; first < rows + held; first += held)  // the last for the rows that end what the one before began
#pragma unroll
    for (int u = 0; u < held; ++u) {
      if (u == held - 1 && first >= rows) break;
#pragma unroll
      for (int s = 0; s < S; ++s, from += cut.tile_w * channels) {
        if ((u + 1) * S + s >= K && first >= rows) continue;
        read_row<Window::width, n, channels>(from, row);
        if (first > 0)
#pragma unroll
          for (int a = u + 1; a < held; ++a)
            if (a * S + s < K) add_row<Window>(row, filters, a * S + s, sums[u - a + held]);
        if (first < rows)
#pragma unroll
          for (int a = 0; a <= u; ++a)
            if (a * S + s < K) add_row<Window>(row, filters, a * S + s, sums[u - a]);
      }
      const int done = first + u - (held - 1);
      if (done < 0 || done >= rows) continue;
      if (plain)
        put_row<true, packs>(at, cut.W - left, c, cut.C, y, sums[(u + 1) % held]);
      else
        put_row<false, packs>(at, cut.W - left, c, cut.C, y, sums[(u + 1) % held]);
      at += int64_t{cut.W} * cut.C;
    }
}

// Tiles may be too large for shared memory only where there is no window.
template <typename Window, typename T, typename... Pointers>
void walk(const Sizes& sizes, const T* x, const T* weight, bool reversed, const Target<T>& y) {
  const Cut cut = cut_of<Window, kChannels<Window, T>, T>(sizes, false);
  const auto blocks = static_cast<unsigned>(cut.tiles * cut.chunks.value());
  with_lanes(cut.lanes, [&](auto lanes) {
    with_packs<T>(
        [&](auto n) {
          const int64_t bytes = cut.tile_pixels() * lanes * kChannels<Window, T> * sizeof(T);
          launch_shared(walks_kernel<Window, lanes, (n > 1), T>, blocks, static_cast<unsigned>(cut.threads()),
                        narrow(bytes), cut, x, weight, reversed, does_nothing(y.then), y);
        },
        sizes.C, x, y.y, y.then.scale, y.then.bias, y.then.residual);
  });
}

}  // namespace

template <typename T>
bool forward_by_walks(const Conv2dShape& s, const T* x, const T* weight, const Epilogue<T>& e, T* y) {
  return with_window<T>(s, [&](auto window) {
    const Sizes sizes{s.N, s.IC, s.OH, s.OW, s.IH, s.IW, s.ph, s.pw};
    walk<decltype(window), T>(sizes, x, weight, false, {y, e, false});
  });
}

template <typename T>
bool backward_input_by_walks(const Conv2dShape& s, const T* grad_y, const T* weight, T* grad_x) {
  if (s.sh != 1) return false;
  return with_window<T>(s, [&](auto window) {
    if constexpr (window.stride == 1) {
      const Sizes sizes{s.N, s.IC, s.IH, s.IW, s.OH, s.OW, s.KH - 1 - s.ph, s.KW - 1 - s.pw};
      walk<decltype(window), T>(sizes, grad_y, weight, true, {grad_x, {}, false});
    }
  });
}

template bool forward_by_walks(const Conv2dShape&, const float*, const float*, const Epilogue<float>&, float*);
template bool forward_by_walks(const Conv2dShape&, const double*, const double*, const Epilogue<double>&, double*);
template bool forward_by_walks(const Conv2dShape&, const Float16*, const Float16*, const Epilogue<Float16>&, Float16*);
template bool forward_by_walks(const Conv2dShape&, const BFloat16*, const BFloat16*, const Epilogue<BFloat16>&,
                               BFloat16*);
template bool backward_input_by_walks(const Conv2dShape&, const float*, const float*, float*);
template bool backward_input_by_walks(const Conv2dShape&, const double*, const double*, double*);
template bool backward_input_by_walks(const Conv2dShape&, const Float16*, const Float16*, Float16*);
template bool backward_input_by_walks(const Conv2dShape&, const BFloat16*, const BFloat16*, BFloat16*);

}  // namespace atrous
