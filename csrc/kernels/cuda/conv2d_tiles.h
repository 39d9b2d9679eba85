// A direction of the convolution as a product of matrices: what its kernel and launcher share. Reached from conv2d.cu
// through conv2d_directions.h.
#pragma once
#include "core/check.h"
#include "kernels/cuda/conv2d_directions.h"
#include "kernels/cuda/conv2d_sources.h"
#include "kernels/cuda/conv2d_target.h"

namespace atrous {

// Rows of a dense matrix.
template <typename T>
struct MatrixTarget : Target<T> {
  int64_t rows, stride;

  __device__ int64_t row(int64_t i) const { return i < rows ? i * stride : -1; }
};

// Pixels of an image that are a stride apart, from (first_h, first_w) on: those of a grid.
template <typename T>
struct PixelTarget : Target<T> {
  int64_t pixels, C;
  int first_h, first_w;
  Stride h, w;
  Divisor rows, columns;

  __device__ int64_t row(int64_t i) const {
    const int64_t row = i / columns, image = row / rows;
    const int64_t ih = first_h + (row - image * rows.value()) * h.stride;
    const int64_t iw = first_w + (i - row * columns.value()) * w.stride;
    return i < pixels && ih < h.size && iw < w.size ? ((image * h.size + ih) * w.size + iw) * C : -1;
  }
};

// Blocks: column tiles of row tiles of parts, which are products of their own (a group's, for example). A Problem has
// part(number), and that has its steps, rows<n, extent>(first), columns<n, extent>(first) and a target.
template <typename Math, int WM, int WN, int n, typename Problem>
__global__ void __launch_bounds__(kTileThreads, 2)
    tiles_kernel(Problem problem, unsigned row_tiles, unsigned column_tiles) {
  using T = typename Math::T;
  const unsigned row_tile = blockIdx.x / column_tiles % row_tiles;
  const int64_t first_row = int64_t{row_tile} * (2 * WM), first_column = int64_t{blockIdx.x % column_tiles} * (2 * WN);
  const auto part = problem.part(blockIdx.x / column_tiles / row_tiles);
  auto rows = part.template rows<n, 2 * WM>(first_row);
  auto columns = part.template columns<n, 2 * WN>(first_column);
  TileSums<T, WM, WN> sums{};
  accumulate<Math>(rows, columns, part.steps, sums);
  if (part.target.packed)
    store_sums<decltype(part.target)::kPack>(sums, first_row, first_column, problem.columns, part.target);
  else if constexpr (WM == 32 && WN == 32)  // for larger ones this would be most of their code
    store_sums<1>(sums, first_row, first_column, problem.columns, part.target);
}

// Some two blocks for each multiprocessor of a large GPU; fewer leave some without work.
constexpr int64_t kEnoughBlocks = 200;

struct TileSize {
  int rows, columns;
  int64_t blocks(int64_t M, int64_t N, int64_t parts) const {
    return divide_up(M, rows) * divide_up(N, columns) * parts;
  }
};

// The largest tile of which there are enough, and that is not mostly empty. `packed`: factors and sums; those larger
// than 64 x 64 move 16 bytes at a time, or not at all.
template <typename T>
TileSize choose_tile(int64_t M, int64_t N, int64_t parts, bool packed) {
  constexpr TileSize kSizes[] = {{128, 128}, {128, 64}};
  if (packed && sizeof(T) <= 4)
    for (const TileSize& size : kSizes)
      if (N > size.columns / 2 && M > size.rows / 2 && size.blocks(M, N, parts) >= kEnoughBlocks) return size;
  return {64, 64};
}

template <typename Math, int WM, int WN, int n, typename Problem>
void launch_tiles(const Problem& problem, int64_t M, int64_t parts) {
  const int64_t row_tiles = divide_up(M, 2 * WM), column_tiles = divide_up(problem.columns, 2 * WN);
  const int64_t blocks = row_tiles * column_tiles * parts;
  require(blocks < int64_t{1} << 31, "conv2d: ", blocks, " tiles are more than a GPU takes at once");
  launch_shared(tiles_kernel<Math, WM, WN, n, Problem>, static_cast<unsigned>(blocks), kTileThreads,
                kTileBytes<typename Math::T, WM, WN>, problem, static_cast<unsigned>(row_tiles),
                static_cast<unsigned>(column_tiles));
}

// Which arithmetic has larger tiles than 64 x 64, where there is work for them. Plain arithmetic of 16-bit numbers is
// for GPUs before compute capability 8.0, and to compare with.
template <typename Math>
constexpr bool kLarge = true;
template <typename T>
constexpr bool kLarge<Fma<T>> = sizeof(T) == 4;

template <typename Math, typename Problem>
void run_math(const Problem& problem, int64_t M, int64_t parts, TileSize size, bool packed) {
  constexpr int n = kChunk<typename Math::T>;
  if constexpr (!is_half<typename Math::T>)
    if (!packed) return launch_tiles<Math, 32, 32, 1>(problem, M, parts);
  if constexpr (kLarge<Math>) {
    if (size.columns == 128) return launch_tiles<Math, 64, 64, n>(problem, M, parts);
    if (size.rows == 128) return launch_tiles<Math, 64, 32, n>(problem, M, parts);
  }
  launch_tiles<Math, 32, 32, n>(problem, M, parts);
}

// M rows, problem.columns and `parts` parts; `packed`: both factors may be read 16 bytes at a time, as those of 16 bits
// always may.
template <typename T, typename Problem>
void run_tiles(Conv2dAlgorithm algorithm, const Problem& problem, int64_t M, int64_t parts, TileSize size,
               bool packed) {
  if constexpr (sizeof(T) <= 4)
    if (algorithm == Conv2dAlgorithm::tensor_cores) return run_math<TensorCores<T>>(problem, M, parts, size, packed);
  run_math<Fma<T>>(problem, M, parts, size, packed);
}

// What output pixels see of x, in the first group.
template <typename T>
Scene<T> windows_of(const Conv2dShape& s, const T* x) {
  return {x, s.N, s.IC, s.IC / s.G, height_of(s), width_of(s), s.OH, s.OW};
}

}  // namespace atrous
