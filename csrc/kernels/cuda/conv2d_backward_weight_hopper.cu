// The weight gradient by Hopper's copy engine, of float32 numbers rounded to TF32: see conv2d_weight_shares.h. Both
// factors lie with the sum's axis slowest, which wgmma does not take of TF32 numbers, so that warps multiply by mma.
#include "kernels/cuda/conv2d_weight_shares.h"
#include "kernels/cuda/mma.h"

namespace atrous {
namespace {

// A lane's place in the products of its warp: see mma.h for g and t. A lane reads 16 bytes, four channels, of one
// pixel, and these go to four products. The channels are those of its unit, so chosen that eight lanes meet all banks.
struct Lane {
  int g, t, unit;
  __device__ explicit Lane(int thread) : g(thread % 32 / 4), t(thread % 4), unit(g / 2 + g % 2 * 4) {}

  // Of pixel t of eight that begin at `eight`, and of pixel t + 4; the engine has put unit u of pixel p at u ^ p % 8.
  __device__ Pack<float, 4> low(uint32_t eight) const { return load_shared(eight + t * 128 + (unit ^ t) * 16); }
  __device__ Pack<float, 4> high(uint32_t eight) const {
    return load_shared(eight + (t + 4) * 128 + (unit ^ t ^ 4) * 16);
  }
};

template <int number>  // in kWeightTiles
struct Tile {
  static constexpr WeightTile kTile = kWeightTiles[number];
  static constexpr int kChunk = kHopperDepth<float>, kPixels = 32, kChunkBytes = kPixels * 128;
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kBlocks = kTile.blocks;
  static constexpr int WM = kTile.warp_rows, WN = kTile.warp_columns;
  static constexpr int kAcross = kColumns / WN, kWarps = kRows / WM * kAcross;  // which multiply
  static constexpr int kThreads = 32 * (kWarps + 4);  // a warpgroup for the engine's warp, whose registers others take
  // Of 65,536 on a multiprocessor a thread gets a multiple of 8. The engine's warpgroup keeps few.
  static constexpr int kAtFirst = 65536 / (kBlocks * kThreads) / 8 * 8, kFew = 40;
  static constexpr int kRegisters = (kAtFirst * (kWarps + 4) - kFew * 4) / kWarps / 8 * 8;
  static constexpr int kRowChunks = kRows / kChunk, kColumnChunks = kColumns / kChunk, kStages = kTile.stages;
  using Stages = atrous::Stages<kStages, (kRowChunks + kColumnChunks) * kChunkBytes>;  // grad_y, then pixels
  static_assert(kBlocks * (Stages::kBytes + 1024) <= 228 * 1024);

  // put(row, column, four of a row) for four sums of a thread, n of which are before these.
  template <typename Put>
  __device__ static void spread(int thread, int n, const Pack<float, 4>& sums, const Put& put) {
    const Lane lane(thread);
    const int warp = thread / 32, j = n / 4 % (WN / 32), k = n / (WN / 8) % 4, i = n / (WN / 2);
    put(warp / kAcross * WM + 32 * (i / 2) + 4 * lane.unit + 2 * (i % 2) + k / 2,
        warp % kAcross * WN + 32 * j + 16 * (k % 2) + 4 * lane.t, sums);
  }
};

// v[i][j][k]: row 32 (i / 2) + 4 unit + 2 (i % 2) + k / 2 and column 32 (j / 4) + 16 (k % 2) + 4t + j % 4 of a warp.
template <int WM, int WN>
struct Sums {
  float v[WM / 16][WN / 8][4];
};

template <typename Tile, int WM, int WN>
__device__ void add_eight(const Lane& lane, uint32_t rows, uint32_t columns, Sums<WM, WN>& sums) {
  uint32_t a[WM / 16][4];
#pragma unroll
  for (int i = 0; i < WM / Tile::kChunk; ++i) {
    const auto low = lane.low(rows + i * Tile::kChunkBytes), high = lane.high(rows + i * Tile::kChunkBytes);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      a[2 * i + e / 2][e % 2] = __float_as_uint(low.v[e]);
      a[2 * i + e / 2][2 + e % 2] = __float_as_uint(high.v[e]);
    }
  }
#pragma unroll
  for (int j = 0; j < WN / 8; j += 4) {
    const auto low = lane.low(columns + j / 4 * Tile::kChunkBytes),
               high = lane.high(columns + j / 4 * Tile::kChunkBytes);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const uint32_t b[] = {__float_as_uint(low.v[e]), __float_as_uint(high.v[e])};
#pragma unroll
      for (int i = 0; i < WM / 16; ++i) {
        float* const c = sums.v[i][j + e];
        multiply_add<float>(c[0], c[1], c[2], c[3], a[i], b);
      }
    }
  }
}

// put(n, four of a row) for all of a thread's sums, n of which are before these.
template <int WM, int WN, typename Put>
__device__ void for_fours(const Sums<WM, WN>& sums, const Put& put) {
#pragma unroll
  for (int i = 0; i < WM / 16; ++i)
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int j = 0; j < WN / 8; j += 4)
        put((i * 4 + k) * (WN / 8) + j,
            Pack<float, 4>{{sums.v[i][j][k], sums.v[i][j + 1][k], sums.v[i][j + 2][k], sums.v[i][j + 3][k]}});
}

template <typename Tile>
__device__ void multiply(const Layer& layer, const Share& share, const typename Tile::Stages& stages, int warp,
                         float* parts, float* grad_weight) {
  const int first_row = warp / Tile::kAcross * Tile::WM, first_column = warp % Tile::kAcross * Tile::WN;
  const uint32_t rows = first_row / Tile::kChunk * Tile::kChunkBytes;
  const uint32_t columns = (Tile::kRowChunks + first_column / Tile::kChunk) * Tile::kChunkBytes;
  const Lane lane(lane_number());
  Ring<Tile::kStages> ring;
  Sums<Tile::WM, Tile::WN> sums{};
  for (int step = share.first; step < share.end; ++step, ring.next()) {
    barrier_wait(stages.full(ring.stage), ring.parity);
    const uint32_t stage = stages.stage(ring.stage);
#pragma unroll
    for (int pixel = 0; pixel < Tile::kPixels; pixel += 8)
      add_eight<Tile>(lane, stage + rows + pixel * 128, stage + columns + pixel * 128, sums);
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(stages.empty(ring.stage));
  }
  put_share<Tile>(layer, stages, ring, warp, parts, grad_weight, [&](const auto& put) { for_fours(sums, put); });
}

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    weight_kernel(const __grid_constant__ Layer layer, const __grid_constant__ CUtensorMap grad_y,
                  const __grid_constant__ CUtensorMap pixels, float* parts, float* grad_weight) {
  const typename Tile::Stages stages;
  const int warp =
      __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);  // tells the compiler: the same in all lanes
  if (threadIdx.x == 0) stages.begin(Tile::kWarps);
  __syncthreads();
  const Share share(layer);
  if (warp < Tile::kWarps) {
    take_registers<Tile::kRegisters>();
    multiply<Tile>(layer, share, stages, warp, parts, grad_weight);
  } else {
    give_registers<Tile::kFew>();
    if (warp == Tile::kWarps) fill<Tile>(layer, share, stages, &grad_y, &pixels);
  }
}

}  // namespace

bool backward_weight_hopper(const Conv2dShape& s, const float* grad_y, const float* x, float* grad_weight) {
  if (!weight_fits(s, kHopperDepth<float>) || !is_hopper()) return false;
  const Aligned factor(grad_y, s.N * s.OH * s.OW * s.OC), pixels(x, s.N * s.IH * s.IW * s.IC);
  with_number<std::size(kWeightTiles)>(weight_tile(s, kWeightTiles, 32), [&](auto number) {
    using Chosen = Tile<decltype(number)::value>;
    launch_shares<Chosen>(weight_kernel<Chosen>, s, factor.data(), pixels.data(), grad_weight);
  });
  return true;
}

}  // namespace atrous
