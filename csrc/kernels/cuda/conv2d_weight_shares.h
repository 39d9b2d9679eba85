// The weight gradient by Hopper's copy engine, a product of matrices that are nowhere in memory:
//   grad_weight[oc, k] = sum over pixels m of grad_y[m, oc] * pixels[m, k]
// k counts taps and chunks of input channels, 128 bytes of each. One warp asks the engine to fill a ring of stages,
// each with some pixels of both factors; the others multiply. The tiles are few and their sums long: all steps of all
// tiles, in a row, are cut into equal shares, one for each block, wherever in a tile that falls. What a share has of a
// tile is a part; a second kernel adds up the parts of a tile, in an order that the sizes give.
//
// A Tile says how large it is (kRows, kColumns), what is in a stage (kRowChunks of grad_y, then kColumnChunks of
// pixels, of kPixels pixels and kChunk channels, kChunkBytes each), how many stages and blocks there are, and where in
// the tile a thread's sums belong (spread).
#pragma once
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/hopper.h"
#include "kernels/cuda/hopper_gpu.h"
#include "kernels/cuda/launch.h"

namespace atrous {
namespace {

struct Layer : Geometry {
  int taps, chunks;  // of IC
  int column_tiles, tiles, steps, shares;
  bool packed;  // grad_weight takes 16 bytes at a time

  __device__ int64_t begin(int share) const { return int64_t{tiles} * steps * share / shares; }
  __device__ int share_of(int64_t step) const {
    return static_cast<int>(((step + 1) * shares - 1) / (int64_t{tiles} * steps));
  }
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
    const int rows = at_most((layer.OC - oc + Tile::kChunk - 1) / Tile::kChunk, Tile::kRowChunks);
    const int columns = at_most(layer.taps * layer.chunks - q, Tile::kColumnChunks);
    const int tap = (q + column) / layer.chunks, kh = tap / layer.KW;
    const auto offset_h = static_cast<uint16_t>(kh * layer.dh);
    const auto offset_w = static_cast<uint16_t>((tap - kh * layer.KW) * layer.dw);
    const int c = (q + column - tap * layer.chunks) * Tile::kChunk;
    for (int step = part.first; step < part.end; ++step, ring.next()) {
      const int m = step * Tile::kPixels;
      const Corner corner(layer, m);
      barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
      const uint32_t place = stages.stage(ring.stage) + lane * Tile::kChunkBytes, full = stages.full(ring.stage);
      if (lane == 0) barrier_arrive_expecting(full, (rows + columns) * Tile::kChunkBytes);
      __syncwarp();
      if (lane < rows)
        copy_box(place, grad_y, full, oc + lane * Tile::kChunk, 0, m);
      else if (column >= 0 && column < columns)
        copy_pixels(place, pixels, full, c, corner.w, corner.h, corner.n, offset_w, offset_h);
    }
    from += part.end - part.first;
  }
}

// Some sums of a tile, from (row, column) of the tile on, to their place in grad_weight, if they have one.
template <typename Tile, int n>
__device__ void put_sums(const Layer& layer, int tile, int row, int column, const Pack<float, n>& sums,
                         float* grad_weight) {
  const int row_tile = tile / layer.column_tiles, oc = row_tile * Tile::kRows + row;
  const int q = (tile - row_tile * layer.column_tiles) * Tile::kColumnChunks + column / Tile::kChunk;
  const int tap = q / layer.chunks, c = (q - tap * layer.chunks) * Tile::kChunk + column % Tile::kChunk;
  if (oc >= layer.OC || tap >= layer.taps || c >= layer.IC) return;
  float* const to = grad_weight + (int64_t{oc} * layer.taps + tap) * layer.IC + c;
  if (layer.packed)
    store_pack(to, sums);
  else
    for (int e = 0; e < n; ++e) to[e] = sums.v[e];
}

// A block has two parts at most that are not a whole tile; the second is one whose tile it begins.
template <typename Tile>
__device__ float* room_of(float* parts, int share, bool begins) {
  return parts + (2 * int64_t{share} + (begins ? 1 : 0)) * (Tile::kRows * Tile::kColumns);
}

template <typename Tile>
__device__ void put_four(const Layer& layer, int tile, int thread, int i, const Pack<float, 4>& four,
                         float* grad_weight) {
  Tile::spread(thread, i, four, [&](int row, int column, const auto& pack) {
    put_sums<Tile>(layer, tile, row, column, pack, grad_weight);
  });
}

// Of a thread of `warp`, for_fours(put) says what it has.
template <typename Tile, typename ForFours>
__device__ void put_part(const Layer& layer, const Part& part, int warp, float* parts, float* grad_weight,
                         const ForFours& for_fours) {
  const int thread = 32 * warp + lane_number();
  if (part.first == 0 && part.end == layer.steps)
    return for_fours(
        [&](int i, const Pack<float, 4>& four) { put_four<Tile>(layer, part.tile, thread, i, four, grad_weight); });
  float* const room = room_of<Tile>(parts, static_cast<int>(blockIdx.x), part.first == 0) + 4 * thread;
  for_fours([&](int i, const Pack<float, 4>& four) { store_pack(room + i * (32 * Tile::kWarps), four); });
}

using WeightKernel = void(Layer, CUtensorMap, CUtensorMap, float* parts, float* grad_weight);

// Adds up the parts of tiles. A block has some fours of a tile: each of its slices adds every so manieth part, and the
// first then what the slices have.
template <typename Tile>
__global__ void add_parts_kernel(const __grid_constant__ Layer layer, int slices, float* parts, float* grad_weight) {
  constexpr int kFours = Tile::kRows * Tile::kColumns / 4, kTileThreads = 32 * Tile::kWarps;
  __shared__ Pack<float, 4> table[kThreads];
  const int of_slice = kThreads / slices, slice = static_cast<int>(threadIdx.x) / of_slice;
  const int64_t number = int64_t{blockIdx.x} * of_slice + static_cast<int>(threadIdx.x) % of_slice;
  const int tile = static_cast<int>(number / kFours), four = static_cast<int>(number % kFours);
  const int64_t begin = int64_t{tile} * layer.steps;
  const int first = layer.share_of(begin), last = layer.share_of(begin + layer.steps - 1);
  if (first == last) return;  // whole, and there
  Pack<float, 4> sum{};
  const auto add = [&](const Pack<float, 4>& more) {
#pragma unroll
    for (int e = 0; e < 4; ++e) sum.v[e] += more.v[e];
  };
#pragma unroll 4
  for (int share = first + slice; share <= last; share += slices)
    add(load_pack<4>(room_of<Tile>(parts, share, share == first) + 4 * four));
  if (slices > 1) {
    table[threadIdx.x] = sum;
    __syncthreads();
    if (slice > 0) return;
    for (int i = 1; i < slices; ++i) add(table[i * of_slice + static_cast<int>(threadIdx.x)]);
  }
  put_four<Tile>(layer, tile, four % kTileThreads, four / kTileThreads * 4, sum, grad_weight);
}

// Launchers.

// By Tile's kernel, `multiply`.
template <typename Tile, typename T>
void launch_shares(WeightKernel* multiply, const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  constexpr int kChunk = Tile::kChunk, kPixels = Tile::kPixels;
  const int64_t M = s.N * s.OH * s.OW, taps = s.KH * s.KW, chunks = divide_up(s.IC, kChunk);
  const int64_t column_tiles = divide_up(taps * chunks, Tile::kColumnChunks);
  const int64_t tiles = divide_up(s.OC, Tile::kRows) * column_tiles, steps = divide_up(M, kPixels);
  const int64_t shares = weight_cut(Tile::kTile, tiles, steps).shares;
  const Layer layer{geometry_of(s), narrow(taps),  narrow(chunks), narrow(column_tiles),
                    narrow(tiles),  narrow(steps), narrow(shares), are_aligned(grad_weight)};
  const Workspace<float> parts(shares == tiles ? 0 : 2 * shares * Tile::kRows * Tile::kColumns);
  launch_shared(multiply, static_cast<unsigned>(shares), Tile::kThreads, Tile::Stages::kBytes, layer,
                map_of_boxes(grad_y, s.OC, 1, M, kChunk, kPixels, "grad_y"), map_of_pixels(s, x, kPixels, kChunk),
                parts.data(), grad_weight);
  if (shares == tiles) return;  // no parts
  constexpr int kFours = Tile::kRows * Tile::kColumns / 4;
  int slices = 1;  // more, where a tile has many parts and the GPU has room
  while (slices < 8 && 2 * slices * tiles <= shares && tiles * kFours * slices < 1 << 17) slices *= 2;
  launch(add_parts_kernel<Tile>, static_cast<unsigned>(tiles * kFours * slices / kThreads), kThreads, layer, slices,
         parts.data(), grad_weight);
}

}  // namespace
}  // namespace atrous
