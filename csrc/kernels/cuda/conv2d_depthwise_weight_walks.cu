// The weight gradient of a depthwise convolution by walks: a thread has all taps of its channels, reads both maps once
// from tiles in shared memory, and goes on from tile to tile. Then a block adds what its threads have, and pieces are
// added up.
#include "core/memory.h"
#include "kernels/cuda/add_pieces.h"
#include "kernels/cuda/conv2d_depthwise.h"
#include "kernels/cuda/conv2d_walks.h"

namespace atrous {
namespace {

// Adds what row kh of the taps has of a strip of grad_y, of which `columns` exist, and the row of x beneath it. What
// does not exist is no factor, not even as a zero: x may be Inf there.
template <typename Window, int n, typename C>
__device__ void add_taps(const C (&row)[Window::width][n], const C (&grad)[Window::strip][n], int columns, int kh,
                         C (&sums)[Window::taps * Window::taps][n]) {
#pragma unroll
  for (int i = 0; i < Window::strip; ++i)
    if (i == 0 || i < columns)
#pragma unroll
      for (int kw = 0; kw < Window::taps; ++kw)
#pragma unroll
        for (int j = 0; j < n; ++j)
          add_product(grad[i][j], row[i * Window::stride + kw][j], sums[kh * Window::taps + kw][j]);
}

// The sums over one walk down `rows` rows of `columns` of grad_y, whose numbers stay in registers for all rows of x
// that they meet.
template <typename Window, int n, int channels, typename T>
__device__ void add_walk(const T* x, int x_step, const T* grad_y, int grad_step, int rows, int columns,
                         Compute<T> (&sums)[Window::taps * Window::taps][n]) {
  constexpr int held = Window::held, K = Window::taps, S = Window::stride;
  Compute<T> row[Window::width][n], grads[held][Window::strip][n];
  for (int first = 0; first < rows + held; first += held)  // the last for the rows that end what the one before began
#pragma unroll
    for (int u = 0; u < held; ++u) {
      if (u == held - 1 && first >= rows) break;
      if (first < rows) read_row<Window::strip, n, channels>(grad_y, grads[u]);
      grad_y += grad_step;
#pragma unroll
      for (int s = 0; s < S; ++s, x += x_step) {
        if ((u + 1) * S + s >= K && first >= rows) continue;
        read_row<Window::width, n, channels>(x, row);
        if (first > 0)
#pragma unroll
          for (int a = u + 1; a < held; ++a)
            if (a * S + s < K && first + u - a < rows)
              add_taps<Window>(row, grads[u - a + held], columns, a * S + s, sums);
        if (first < rows)
#pragma unroll
          for (int a = 0; a <= u; ++a)
            if (a * S + s < K && first + u - a < rows) add_taps<Window>(row, grads[u - a], columns, a * S + s, sums);
      }
    }
}

// Sums of a block's lines, threads of the same channels, to partial (pieces, taps, C).
template <int lanes, int n, int taps, typename C>
__device__ void add_lines(C* table, int lines, int piece, int first_channel, int channels, const C (&sums)[taps][n],
                          C* partial) {
  constexpr int width = lanes * n;
  const int line = static_cast<int>(threadIdx.x) / lanes, lane = static_cast<int>(threadIdx.x) % lanes;
  __syncthreads();  // the tiles are read
  if (line < lines) {
#pragma unroll
    for (int tap = 0; tap < taps; ++tap)
#pragma unroll
      for (int j = 0; j < n; ++j) table[(line * taps + tap) * width + lane * n + j] = sums[tap][j];
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < taps * width; i += static_cast<int>(blockDim.x)) {
    C sum = table[i];
    for (int k = 1; k < lines; ++k) sum += table[k * taps * width + i];
    const int tap = i / width, channel = first_channel + i % width;
    if (channel < channels) partial[(int64_t{piece} * taps + tap) * channels + channel] = sum;
  }
}

template <typename Window, int lanes, bool packs, typename T>
__global__ void __launch_bounds__(kMostThreads, 3)
    weight_walks_kernel(Cut cut, int pieces, const T* grad_y, const T* x, Compute<T>* partial) {
  constexpr int K = Window::taps, S = Window::stride, n = kChannels<Window, T>, channels = lanes * n;
  const auto piece = static_cast<int>(blockIdx.x / cut.chunks);
  const int first_channel = static_cast<int>(blockIdx.x - piece * cut.chunks.value()) * channels;
  const int lane = static_cast<int>(threadIdx.x) % lanes, line = static_cast<int>(threadIdx.x) / lanes;
  const int down = line / cut.strips, strip = (line - down * cut.strips) * Window::strip;
  const int width = cut.strips * Window::strip, height = cut.down * cut.rows, left_of = cut.C - first_channel;
  T* const x_tile = shared_memory<T>();
  T* const grad_tile = x_tile + cut.tile_h * cut.tile_w * channels;
  Compute<T> sums[K * K][n] = {};
  for (int64_t index = piece; index < cut.tiles; index += pieces) {
    const Tile tile = Tile::of<Window>(cut, index);
    __syncthreads();  // the tile before is read
    copy_tile<channels, packs>(x + tile.image * cut.image_h * cut.image_w * cut.C + first_channel, cut.image_h,
                               cut.image_w, cut.C, left_of, tile.top * S - cut.padding_h, tile.left * S - cut.padding_w,
                               cut.tile_h, cut.tile_w, x_tile);
    copy_tile<channels, packs>(grad_y + tile.image * cut.H * cut.W * cut.C + first_channel, cut.H, cut.W, cut.C,
                               left_of, tile.top, tile.left, height, width, grad_tile);
    close_copies();
    wait_copies<0>();
    __syncthreads();
    const int rows = cut.rows_from(tile.top + down * cut.rows);
    const int columns = cut.W - tile.left - strip;
    if (down < cut.down && rows > 0 && columns > 0)
      add_walk<Window, n, channels>(
          x_tile + (down * cut.rows * S * cut.tile_w + strip * S) * channels + lane * n, cut.tile_w * channels,
          grad_tile + (down * cut.rows * width + strip) * channels + lane * n, width * channels, rows, columns, sums);
  }
  add_lines<lanes>(shared_memory<Compute<T>>(), cut.strips * cut.down, piece, first_channel, cut.C, sums, partial);
}

// The order of the sums does not depend on addresses.
template <typename Window, typename T>
void sum_by_walks(const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  constexpr int64_t kBlocks = 396, taps = Window::taps * Window::taps;
  const Cut cut = cut_of<Window, kChannels<Window, T>, T>({s.N, s.IC, s.OH, s.OW, s.IH, s.IW, s.ph, s.pw}, true);
  const int64_t chunks = cut.chunks.value(), most = std::max<int64_t>(1, kBlocks / chunks);
  const int64_t of_piece = std::max<int64_t>(1, divide_up(cut.tiles, most));
  const int64_t pieces = std::max<int64_t>(1, divide_up(cut.tiles, of_piece));
  const Workspace<float> partial(pieces * taps * s.IC);
  with_lanes(cut.lanes, [&](auto lanes) {
    with_packs<T>(
        [&](auto n) {
          constexpr int64_t channels = lanes * kChannels<Window, T>;
          const int64_t outputs = int64_t{cut.down} * cut.rows * cut.strips * Window::strip;
          const int64_t tiles = (cut.tile_pixels() + outputs) * channels * static_cast<int64_t>(sizeof(T));
          const int64_t table = int64_t{cut.strips} * cut.down * taps * channels * 4;
          launch_shared(weight_walks_kernel<Window, lanes, (n > 1), T>, static_cast<unsigned>(pieces * chunks),
                        static_cast<unsigned>(cut.threads()), narrow(std::max(tiles, table)), cut, narrow(pieces),
                        grad_y, x, partial.data());
        },
        s.IC, grad_y, x);
  });
  add_pieces(pieces, s.IC * taps, partial.data(), ByChannel<float>{s.IC, taps, grad_weight});
}

}  // namespace

template <typename T>
bool backward_weight_by_walks(const Conv2dShape& s, const T* grad_y, const T* x, Compute<T>* grad_weight) {
  return with_window<T>(s, [&](auto window) { sum_by_walks<decltype(window)>(s, grad_y, x, grad_weight); });
}

template bool backward_weight_by_walks(const Conv2dShape&, const float*, const float*, float*);
template bool backward_weight_by_walks(const Conv2dShape&, const double*, const double*, double*);
template bool backward_weight_by_walks(const Conv2dShape&, const Float16*, const Float16*, float*);
template bool backward_weight_by_walks(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
