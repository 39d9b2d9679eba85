// The weight gradient by Hopper's copy engine and tensor cores, a product of matrices that are nowhere in memory:
//   grad_weight[oc, k] = sum over pixels m of grad_y[m, oc] * pixels[m, k]
// k counts taps and chunks of 32 input channels. Both factors lie with the sum's axis slowest, which wgmma does not
// take of TF32 numbers, so that warps multiply by mma. One warp asks the engine to fill a ring of stages, each with
// 32 pixels of both factors. The tiles are few and their sums long: all steps of all tiles, in a row, are cut into
// equal shares, one for each block, wherever in a tile that falls. What a share has of a tile is a part; a second
// kernel adds up the parts of a tile, in an order that the sizes give.
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/hopper.h"
#include "kernels/cuda/hopper_gpu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.h"

namespace atrous {
namespace {

constexpr int kChunk = 32;                  // channels, 128 bytes
constexpr int kPixels = 32;                 // of a step
constexpr int kChunkBytes = kPixels * 128;  // of one factor in a stage

struct Layer : Geometry {
  int taps, chunks;  // of IC
  int column_tiles, tiles, steps, shares;
  bool packed;  // grad_weight takes 16 bytes at a time

  __device__ int64_t begin(int share) const { return int64_t{tiles} * steps * share / shares; }
  __device__ int share_of(int64_t step) const {
    return static_cast<int>(((step + 1) * shares - 1) / (int64_t{tiles} * steps));
  }
};

template <int number>  // in kWeightTiles
struct Tile {
  static constexpr WeightTile kTile = kWeightTiles[number];
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kBlocks = kTile.blocks;
  static constexpr int WM = kTile.warp_rows, WN = kTile.warp_columns;
  static constexpr int kAcross = kColumns / WN, kWarps = kRows / WM * kAcross;  // which multiply
  static constexpr int kThreads = 32 * (kWarps + 4);  // a warpgroup for the engine's warp, whose registers others take
  // Of 65,536 on a multiprocessor a thread gets a multiple of 8. The engine's warpgroup keeps few.
  static constexpr int kAtFirst = 65536 / (kBlocks * kThreads) / 8 * 8, kFew = 40;
  static constexpr int kRegisters = (kAtFirst * (kWarps + 4) - kFew * 4) / kWarps / 8 * 8;
  static constexpr int kRowChunks = kRows / kChunk, kColumnChunks = kColumns / kChunk;
  static constexpr int kStages = kTile.stages;
  using Stages = atrous::Stages<kStages, (kRowChunks + kColumnChunks) * kChunkBytes>;  // grad_y, then pixels
  static_assert(kBlocks * (Stages::kBytes + 1024) <= 228 * 1024);
};

// What a block has of a tile: some of its steps.
struct Part {
  int tile, first, end;
  __device__ Part(const Layer& layer, int64_t from, int64_t to)
      : tile(static_cast<int>(from / layer.steps)), first(static_cast<int>(from - int64_t{tile} * layer.steps)) {
    const int64_t left = to - from;
    end = left < layer.steps - first ? first + static_cast<int>(left) : layer.steps;
  }
};

__device__ inline int at_most(int value, int most) { return value < most ? value : most; }

// By one warp: each lane copies a chunk of a stage.
template <typename Tile>
__device__ void fill(const Layer& layer, const typename Tile::Stages& stages, int64_t from, int64_t to,
                     const CUtensorMap* grad_y, const CUtensorMap* pixels) {
  const int lane = static_cast<int>(threadIdx.x) % 32, column = lane - Tile::kRowChunks;
  Ring<Tile::kStages> ring;
  while (from < to) {
    const Part part(layer, from, to);
    const int row_tile = part.tile / layer.column_tiles, oc = row_tile * Tile::kRows;
    const int q = (part.tile - row_tile * layer.column_tiles) * Tile::kColumnChunks;
    const int rows = at_most((layer.OC - oc + kChunk - 1) / kChunk, Tile::kRowChunks);
    const int columns = at_most(layer.taps * layer.chunks - q, Tile::kColumnChunks);
    const int tap = (q + column) / layer.chunks, kh = tap / layer.KW;
    const auto offset_h = static_cast<uint16_t>(kh * layer.dh);
    const auto offset_w = static_cast<uint16_t>((tap - kh * layer.KW) * layer.dw);
    const int c = (q + column - tap * layer.chunks) * kChunk;
    for (int step = part.first; step < part.end; ++step, ring.next()) {
      const int m = step * kPixels;
      const Corner corner(layer, m);
      barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
      const uint32_t place = stages.stage(ring.stage) + lane * kChunkBytes, full = stages.full(ring.stage);
      if (lane == 0) barrier_arrive_expecting(full, (rows + columns) * kChunkBytes);
      __syncwarp();
      if (lane < rows)
        copy_box(place, grad_y, full, oc + lane * kChunk, 0, m);
      else if (column >= 0 && column < columns)
        copy_pixels(place, pixels, full, c, corner.w, corner.h, corner.n, offset_w, offset_h);
    }
    from += part.end - part.first;
  }
}

// A lane's place in the products of its warp: see mma.h for g and t. A lane reads 16 bytes, four channels, of one
// pixel, and these go to four products. The channels are those of its unit, so chosen that eight lanes meet all banks.
struct Lane {
  int g, t, unit;
  __device__ Lane()
      : g(static_cast<int>(threadIdx.x) % 32 / 4), t(static_cast<int>(threadIdx.x) % 4), unit(g / 2 + g % 2 * 4) {}

  // Of pixel t of eight that begin at `eight`, and of pixel t + 4; the engine has put unit u of pixel p at u ^ p % 8.
  __device__ Pack<float, 4> low(uint32_t eight) const { return load_shared(eight + t * 128 + (unit ^ t) * 16); }
  __device__ Pack<float, 4> high(uint32_t eight) const {
    return load_shared(eight + (t + 4) * 128 + (unit ^ t ^ 4) * 16);
  }
};

// v[i][j][k]: row 32 (i / 2) + 4 unit + 2 (i % 2) + k / 2 and column 32 (j / 4) + 16 (k % 2) + 4t + j % 4 of a warp.
template <int WM, int WN>
struct Sums {
  float v[WM / 16][WN / 8][4];
};

template <int WM, int WN>
__device__ void add_eight(const Lane& lane, uint32_t rows, uint32_t columns, Sums<WM, WN>& sums) {
  uint32_t a[WM / 16][4];
#pragma unroll
  for (int i = 0; i < WM / kChunk; ++i) {
    const auto low = lane.low(rows + i * kChunkBytes), high = lane.high(rows + i * kChunkBytes);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      a[2 * i + e / 2][e % 2] = __float_as_uint(low.v[e]);
      a[2 * i + e / 2][2 + e % 2] = __float_as_uint(high.v[e]);
    }
  }
#pragma unroll
  for (int j = 0; j < WN / 8; j += 4) {
    const auto low = lane.low(columns + j / 4 * kChunkBytes), high = lane.high(columns + j / 4 * kChunkBytes);
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

// put(row, column, four of a row) for all of a warp's sums.
template <int WM, int WN, typename Put>
__device__ void for_fours(const Lane& lane, const Sums<WM, WN>& sums, const Put& put) {
#pragma unroll
  for (int i = 0; i < WM / 16; ++i)
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int j = 0; j < WN / 8; j += 4)
        put(kChunk * (i / 2) + 4 * lane.unit + 2 * (i % 2) + k / 2, kChunk * (j / 4) + 16 * (k % 2) + 4 * lane.t,
            Pack<float, 4>{{sums.v[i][j][k], sums.v[i][j + 1][k], sums.v[i][j + 2][k], sums.v[i][j + 3][k]}});
}

// Four sums of a tile, from (row, column) of the tile on, to their place in grad_weight, if they have one.
template <typename Tile>
__device__ void put_four(const Layer& layer, int tile, int row, int column, const Pack<float, 4>& four,
                         float* grad_weight) {
  const int row_tile = tile / layer.column_tiles, oc = row_tile * Tile::kRows + row;
  const int q = (tile - row_tile * layer.column_tiles) * Tile::kColumnChunks + column / kChunk;
  const int tap = q / layer.chunks, c = (q - tap * layer.chunks) * kChunk + column % kChunk;
  if (oc >= layer.OC || tap >= layer.taps || c >= layer.IC) return;
  float* const to = grad_weight + (int64_t{oc} * layer.taps + tap) * layer.IC + c;
  if (layer.packed)
    store_pack(to, four);
  else
    for (int e = 0; e < 4; ++e) to[e] = four.v[e];
}

// A block has two parts at most that are not a whole tile; the second is one whose tile it begins.
template <typename Tile>
__device__ float* room_of(float* parts, int share, bool begins) {
  return parts + (2 * int64_t{share} + (begins ? 1 : 0)) * (Tile::kRows * Tile::kColumns);
}

template <typename Tile>
__device__ void multiply(const Layer& layer, const typename Tile::Stages& stages, int warp, int64_t from, int64_t to,
                         float* parts, float* grad_weight) {
  const Lane lane;
  const int first_row = warp / Tile::kAcross * Tile::WM, first_column = warp % Tile::kAcross * Tile::WN;
  const uint32_t rows = first_row / kChunk * kChunkBytes;
  const uint32_t columns = (Tile::kRowChunks + first_column / kChunk) * kChunkBytes;
  Ring<Tile::kStages> ring;
  while (from < to) {
    const Part part(layer, from, to);
    Sums<Tile::WM, Tile::WN> sums{};
    for (int step = part.first; step < part.end; ++step, ring.next()) {
      barrier_wait(stages.full(ring.stage), ring.parity);
      const uint32_t stage = stages.stage(ring.stage);
#pragma unroll
      for (int pixel = 0; pixel < kPixels; pixel += 8)
        add_eight<Tile::WM, Tile::WN>(lane, stage + rows + pixel * 128, stage + columns + pixel * 128, sums);
      __syncwarp();
      if (threadIdx.x % 32 == 0) barrier_arrive(stages.empty(ring.stage));
    }
    if (part.first == 0 && part.end == layer.steps) {
      for_fours(lane, sums, [&](int row, int column, const Pack<float, 4>& four) {
        put_four<Tile>(layer, part.tile, first_row + row, first_column + column, four, grad_weight);
      });
    } else {
      float* const room = room_of<Tile>(parts, static_cast<int>(blockIdx.x), part.first == 0);
      for_fours(lane, sums, [&](int row, int column, const Pack<float, 4>& four) {
        store_pack(room + (first_row + row) * Tile::kColumns + first_column + column, four);
      });
    }
    from += part.end - part.first;
  }
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
  const int share = static_cast<int>(blockIdx.x);
  const int64_t from = layer.begin(share), to = layer.begin(share + 1);
  if (warp < Tile::kWarps) {
    take_registers<Tile::kRegisters>();
    multiply<Tile>(layer, stages, warp, from, to, parts, grad_weight);
  } else {
    give_registers<Tile::kFew>();
    if (warp == Tile::kWarps) fill<Tile>(layer, stages, from, to, &grad_y, &pixels);
  }
}

// A block adds up 32 fours of a tile: each of 8 warps every eighth part, and the first then what the warps have.
constexpr int kSlices = kThreads / 32;

template <typename Tile>
__global__ void add_parts_kernel(const __grid_constant__ Layer layer, float* parts, float* grad_weight) {
  constexpr int kBlocksOfTile = Tile::kRows * Tile::kColumns / 4 / 32;
  __shared__ Pack<float, 4> table[kSlices][32];
  const int tile = static_cast<int>(blockIdx.x) / kBlocksOfTile, lane = static_cast<int>(threadIdx.x) % 32;
  const int slice = static_cast<int>(threadIdx.x) / 32;
  const int place = 4 * (static_cast<int>(blockIdx.x) % kBlocksOfTile * 32 + lane);
  const int64_t begin = int64_t{tile} * layer.steps;
  const int first = layer.share_of(begin), last = layer.share_of(begin + layer.steps - 1);
  if (first == last) return;  // whole, and there
  Pack<float, 4> sum{};
  const auto add = [&](const Pack<float, 4>& more) {
#pragma unroll
    for (int e = 0; e < 4; ++e) sum.v[e] += more.v[e];
  };
#pragma unroll 4
  for (int share = first + slice; share <= last; share += kSlices)
    add(load_pack<4>(room_of<Tile>(parts, share, share == first) + place));
  table[slice][lane] = sum;
  __syncthreads();
  if (slice > 0) return;
  for (int i = 1; i < kSlices; ++i) add(table[i][lane]);
  put_four<Tile>(layer, tile, place / Tile::kColumns, place % Tile::kColumns, sum, grad_weight);
}

// Launchers.

template <typename Tile>
void launch_weight(const Conv2dShape& s, const float* grad_y, const float* x, float* grad_weight) {
  const int64_t M = s.N * s.OH * s.OW, taps = s.KH * s.KW, chunks = divide_up(s.IC, kChunk);
  const int64_t column_tiles = divide_up(taps * chunks, Tile::kColumnChunks);
  const int64_t tiles = divide_up(s.OC, Tile::kRows) * column_tiles, steps = divide_up(M, kPixels);
  const int64_t shares = weight_shares(Tile::kTile, tiles * steps);
  const Layer layer{geometry_of(s), narrow(taps),  narrow(chunks), narrow(column_tiles),
                    narrow(tiles),  narrow(steps), narrow(shares), are_aligned(grad_weight)};
  const Workspace<float> parts(2 * shares * Tile::kRows * Tile::kColumns);
  launch_shared(weight_kernel<Tile>, static_cast<unsigned>(shares), Tile::kThreads, Tile::Stages::kBytes, layer,
                map_of_boxes(grad_y, s.OC, 1, M, kChunk, kPixels, "grad_y"), map_of_pixels(s, x, kPixels, kChunk),
                parts.data(), grad_weight);
  constexpr int kBlocksOfTile = Tile::kRows * Tile::kColumns / 4 / 32;
  launch(add_parts_kernel<Tile>, static_cast<unsigned>(tiles * kBlocksOfTile), kThreads, layer, parts.data(),
         grad_weight);
}

}  // namespace

bool backward_weight_hopper(const Conv2dShape& s, const float* grad_y, const float* x, float* grad_weight) {
  if (!weight_fits(s) || !is_hopper()) return false;
  const Aligned factor(grad_y, s.N * s.OH * s.OW * s.OC), pixels(x, s.N * s.IH * s.IW * s.IC);
  const auto run = [&](auto tile) { launch_weight<decltype(tile)>(s, factor.data(), pixels.data(), grad_weight); };
  switch (weight_tile(s)) {
    case 0:
      run(Tile<0>{});
      break;
    case 1:
      run(Tile<1>{});
      break;
    case 2:
      run(Tile<2>{});
      break;
    case 3:
      run(Tile<3>{});
      break;
    default:
      run(Tile<4>{});
  }
  return true;
}

}  // namespace atrous
