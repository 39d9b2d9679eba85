// The weight gradient of 16-bit numbers by Hopper's copy engine and matrix units: see conv2d_weight_shares.h. Both
// factors lie with the sum's axis slowest, which wgmma takes of such numbers: a warpgroup multiplies 64 output channels
// by all columns of the tile.
#include "kernels/cuda/conv2d_weight_shares.h"

namespace atrous {
namespace {

template <int number>  // in kHalfWeightTiles
struct Tile {
  static constexpr WeightTile kTile = kHalfWeightTiles[number];
  static constexpr int kChunk = kTile.chunk, kPixels = 64, kChunkBytes = kPixels * 128;
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kBlocks = kTile.blocks, kStages = kTile.stages;
  static constexpr int kWarps = kRows / 16, kThreads = 32 * (kWarps + 1);  // the engine's warp is the last
  static constexpr int kRowChunks = kRows / kChunk, kColumnChunks = kColumns / kChunk;
  using Stages = atrous::Stages<kStages, (kRowChunks + kColumnChunks) * kChunkBytes>;
  static_assert(kBlocks * (Stages::kBytes + 1024) <= 228 * 1024);

  // put(row, column, two of a row) for four sums of a lane: from the i-th on of its warp's, which has eight columns of
  // 16 rows there.
  template <typename Put>
  __device__ static void spread(int thread, int i, const Pack<float, 4>& sums, const Put& put) {
    const int lane = thread % 32, row = thread / 32 * 16 + lane / 4, column = 2 * i + lane % 4 * 2;
    put(row, column, Pack<float, 2>{{sums.v[0], sums.v[1]}});
    put(row + 8, column, Pack<float, 2>{{sums.v[2], sums.v[3]}});
  }
};

// put(i, four) for all of a lane's sums, from the i-th on.
template <int n, typename Put>
__device__ void for_fours(const float (&sums)[n], const Put& put) {
#pragma unroll
  for (int i = 0; i < n; i += 4) put(i, Pack<float, 4>{{sums[i], sums[i + 1], sums[i + 2], sums[i + 3]}});
}

template <typename T, typename Tile>
__device__ void multiply(const Layer& layer, const Share& share, const typename Tile::Stages& stages, int warp,
                         float* parts, float* grad_weight) {
  Ring<Tile::kStages> ring;
  float sums[Tile::kColumns / 2];
  add_steps(stages, ring, share.end - share.first, sums, [&](uint32_t stage) {
    const uint64_t rows = matrix_descriptor(stage + warp / 4 * Tile::kChunkBytes);
    const uint64_t columns = matrix_descriptor(stage + Tile::kRowChunks * Tile::kChunkBytes, Tile::kChunkBytes);
#pragma unroll
    for (int pixel = 0; pixel < Tile::kPixels; pixel += 16)
      wgmma<T, true, true>(sums, rows + pixel * 128 / 16, columns + pixel * 128 / 16);
  });
  put_share<Tile>(layer, stages, ring, warp, parts, grad_weight, [&](const auto& put) { for_fours(sums, put); });
}

template <typename T, typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    weight_kernel(const __grid_constant__ Layer layer, const __grid_constant__ CUtensorMap grad_y,
                  const __grid_constant__ CUtensorMap pixels, float* parts, float* grad_weight) {
  const typename Tile::Stages stages;
  const int warp =
      __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);  // tells the compiler: the same in all lanes
  if (threadIdx.x == 0) stages.begin(Tile::kWarps);
  __syncthreads();
  const Share share(layer);
  if (warp < Tile::kWarps)
    multiply<T, Tile>(layer, share, stages, warp, parts, grad_weight);
  else
    fill<Tile>(layer, share, stages, &grad_y, &pixels);
}

}  // namespace

template <typename T>
bool backward_weight_half_hopper(const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  if (!weight_fits(s, kHopperDepth<T>) || !is_hopper()) return false;
  with_number<std::size(kHalfWeightTiles)>(weight_tile(s, kHalfWeightTiles, 64), [&](auto number) {
    using Chosen = Tile<decltype(number)::value>;
    launch_shares<Chosen>(weight_kernel<T, Chosen>, s, grad_y, x, grad_weight);
  });
  return true;
}

template bool backward_weight_half_hopper(const Conv2dShape&, const Float16*, const Float16*, float*);
template bool backward_weight_half_hopper(const Conv2dShape&, const BFloat16*, const BFloat16*, float*);

}  // namespace atrous
