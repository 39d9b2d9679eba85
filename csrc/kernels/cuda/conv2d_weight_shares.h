// The weight gradient by Hopper's copy engine, a product of matrices that are nowhere in memory:
//   grad_weight[oc, k] = sum over pixels m of grad_y[m, oc] * pixels[m, k]
// k counts taps and chunks of input channels, 128 bytes of each. One warp asks the engine to fill a ring of stages,
// each with some pixels of both factors; the others multiply. The tiles are few and their sums long: the steps of a
// tile are cut into equal shares, one for each block (weight_cut). The blocks of a cluster, one, two or four, share a
// part of a tile: they add up what they have by way of their shared memory. Where a tile has more than one part, a
// second kernel adds them up. All in an order that the sizes give.
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
  int column_tiles, steps;
  int parts, cluster;  // of a tile; of a part, its blocks
  bool packed;         // grad_weight takes 16 bytes at a time
};

// What a block has of a tile: some of its steps.
struct Share {
  int part, tile, first, end;  // the part of all that there are
  __device__ explicit Share(const Layer& layer) {
    const int block = block_number(), shares = layer.parts * layer.cluster;
    part = block / layer.cluster;
    tile = part / layer.parts;
    const int number = block - tile * shares;
    first = static_cast<int>(int64_t{layer.steps} * number / shares);
    end = static_cast<int>(int64_t{layer.steps} * (number + 1) / shares);
  }
};

__device__ inline int at_most(int value, int most) { return value < most ? value : most; }

// By one warp: each lane copies a chunk of a stage.
template <typename Tile>
__device__ void fill(const Layer& layer, const Share& share, const typename Tile::Stages& stages,
                     const CUtensorMap* grad_y, const CUtensorMap* pixels) {
  const int lane = static_cast<int>(threadIdx.x) % 32, column = lane - Tile::kRowChunks;
  const int row_tile = share.tile / layer.column_tiles, oc = row_tile * Tile::kRows;
  const int q = (share.tile - row_tile * layer.column_tiles) * Tile::kColumnChunks;
  const int rows = at_most((layer.OC - oc + Tile::kChunk - 1) / Tile::kChunk, Tile::kRowChunks);
  const int columns = at_most(layer.taps * layer.chunks - q, Tile::kColumnChunks);
  const int tap = (q + column) / layer.chunks, kh = tap / layer.KW;
  const auto offset_h = static_cast<uint16_t>(kh * layer.dh);
  const auto offset_w = static_cast<uint16_t>((tap - kh * layer.KW) * layer.dw);
  const int c = (q + column - tap * layer.chunks) * Tile::kChunk;
  Corner corners(0, 0, 0);  // of 32 steps, in each lane that of one: it takes divisions, for which a step has no time
  Ring<Tile::kStages> ring;
  for (int step = share.first; step < share.end; ++step, ring.next()) {
    const int m = step * Tile::kPixels, of_32 = (step - share.first) % 32;
    if (of_32 == 0) corners = Corner(layer, (step + lane) * Tile::kPixels);
    const Corner corner = corners.of(of_32);
    barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
    const uint32_t place = stages.stage(ring.stage) + lane * Tile::kChunkBytes, full = stages.full(ring.stage);
    if (lane == 0) barrier_arrive_expecting(full, (rows + columns) * Tile::kChunkBytes);
    __syncwarp();
    if (lane < rows)
      copy_box(place, grad_y, full, oc + lane * Tile::kChunk, 0, m);
    else if (column >= 0 && column < columns)
      copy_pixels(place, pixels, full, c, corner.w, corner.h, corner.n, offset_w, offset_h);
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

// A tile's fours of sums are numbered so that neighbouring threads have neighbouring ones.
template <typename Tile>
constexpr int kFours = Tile::kRows * Tile::kColumns / 4;
template <typename Tile>
constexpr int kOfThreads = 32 * Tile::kWarps;

template <typename Tile>
__device__ void put_four(const Layer& layer, int tile, int four, const Pack<float, 4>& sums, float* grad_weight) {
  Tile::spread(four % kOfThreads<Tile>, four / kOfThreads<Tile> * 4, sums, [&](int row, int column, const auto& pack) {
    put_sums<Tile>(layer, tile, row, column, pack, grad_weight);
  });
}

// Where a cluster's sums go: to the place of its part, or, where that is the whole tile, to grad_weight.
template <typename Tile>
__device__ void put_of_part(const Layer& layer, const Share& share, int four, const Pack<float, 4>& sums, float* parts,
                            float* grad_weight) {
  if (layer.parts == 1) return put_four<Tile>(layer, share.tile, four, sums, grad_weight);
  store_pack(parts + (int64_t{share.part} * kFours<Tile> + four) * 4, sums);
}

__device__ inline void add(const Pack<float, 4>& more, Pack<float, 4>& sum) {
#pragma unroll
  for (int e = 0; e < 4; ++e) sum.v[e] += more.v[e];
}

// Each of a cluster's blocks adds up a slice of what all of them have in their rooms, eight loads of a thread under way
// at once.
template <typename Tile, int cluster>
__device__ void add_up_cluster(const Layer& layer, const Share& share, uint32_t room, int thread, float* parts,
                               float* grad_weight) {
  constexpr int kSlice = kFours<Tile> / cluster, kAtOnce = 8 / cluster;
  static_assert(kSlice % (kAtOnce * kOfThreads<Tile>) == 0);
  const int begin = static_cast<int>(blockIdx.x) % cluster * kSlice;
  for (int first = begin + thread; first < begin + kSlice; first += kAtOnce * kOfThreads<Tile>) {
    Pack<float, 4> fours[kAtOnce][cluster];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
#pragma unroll
      for (int rank = 0; rank < cluster; ++rank)
        fours[i][rank] = load_shared_of(rank, room + 16 * (first + i * kOfThreads<Tile>));
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
      for (int rank = 1; rank < cluster; ++rank) add(fours[i][rank], fours[i][0]);
      put_of_part<Tile>(layer, share, first + i * kOfThreads<Tile>, fours[i][0], parts, grad_weight);
    }
  }
}

// Of a thread that multiplies, for_fours(put) says what it has. `ring` stands behind its last step.
template <typename Tile, typename ForFours>
__device__ void put_share(const Layer& layer, const typename Tile::Stages& stages, const Ring<Tile::kStages>& ring,
                          int warp, float* parts, float* grad_weight, const ForFours& for_fours) {
  static_assert(16 * kFours<Tile> <= Tile::Stages::kBytes - 1024 - 16 * Tile::kStages);
  const Share share(layer);
  const int thread = 32 * warp + lane_number();
  if (layer.cluster == 1)
    return for_fours([&](int i, const Pack<float, 4>& four) {
      put_of_part<Tile>(layer, share, i / 4 * kOfThreads<Tile> + thread, four, parts, grad_weight);
    });
  wait_for_readers(stages, ring);
  const uint32_t room = stages.stage(0), own = room + 16 * thread;
  for_fours([&](int i, const Pack<float, 4>& four) { store_shared(own + i * (4 * kOfThreads<Tile>), four); });
  cluster_barrier();
  if (layer.cluster == 2)
    add_up_cluster<Tile, 2>(layer, share, room, thread, parts, grad_weight);
  else
    add_up_cluster<Tile, 4>(layer, share, room, thread, parts, grad_weight);
  cluster_barrier<false>();  // the others have read what is here
}

using WeightKernel = void(Layer, CUtensorMap, CUtensorMap, float* parts, float* grad_weight);

// Adds up the parts of tiles. A block has some fours of a tile: each of its slices adds every so manieth part, and the
// first then what the slices have.
template <typename Tile>
__global__ void add_parts_kernel(const __grid_constant__ Layer layer, int slices, const float* parts,
                                 float* grad_weight) {
  __shared__ Pack<float, 4> table[kThreads];
  const int of_slice = kThreads / slices, slice = static_cast<int>(threadIdx.x) / of_slice;
  const int64_t number = int64_t{blockIdx.x} * of_slice + static_cast<int>(threadIdx.x) % of_slice;
  const int tile = static_cast<int>(number / kFours<Tile>), four = static_cast<int>(number % kFours<Tile>);
  const float* const from = parts + (int64_t{tile} * layer.parts * kFours<Tile> + four) * 4;
  Pack<float, 4> sum{};
#pragma unroll 4
  for (int part = slice; part < layer.parts; part += slices)
    add(load_pack<4>(from + int64_t{part} * (4 * kFours<Tile>)), sum);
  if (slices > 1) {
    table[threadIdx.x] = sum;
    __syncthreads();
    if (slice > 0) return;
    for (int i = 1; i < slices; ++i) add(table[i * of_slice + static_cast<int>(threadIdx.x)], sum);
  }
  put_four<Tile>(layer, tile, four, sum, grad_weight);
}

// Launchers.

// By Tile's kernel, `multiply`.
template <typename Tile, typename T>
void launch_shares(WeightKernel* multiply, const Conv2dShape& s, const T* grad_y, const T* x, float* grad_weight) {
  constexpr int kChunk = Tile::kChunk, kPixels = Tile::kPixels;
  const int64_t M = s.N * s.OH * s.OW, taps = s.KH * s.KW, chunks = divide_up(s.IC, kChunk);
  const int64_t column_tiles = divide_up(taps * chunks, Tile::kColumnChunks);
  const int64_t tiles = divide_up(s.OC, Tile::kRows) * column_tiles, steps = divide_up(M, kPixels);
  const WeightCut cut = weight_cut(Tile::kTile, tiles, steps);
  const Layer layer{geometry_of(s), narrow(taps),      narrow(chunks), narrow(column_tiles),
                    narrow(steps),  narrow(cut.parts), cut.cluster,    are_aligned(grad_weight)};
  const Workspace<float> parts(cut.parts == 1 ? 0 : tiles * cut.parts * Tile::kRows * Tile::kColumns);
  launch_clusters(multiply, static_cast<unsigned>(tiles * cut.parts), static_cast<unsigned>(cut.cluster),
                  Tile::kThreads, Tile::Stages::kBytes, layer,
                  map_of_boxes(grad_y, s.OC, 1, M, kChunk, kPixels, "grad_y"), map_of_pixels(s, x, kPixels, kChunk),
                  parts.data(), grad_weight);
  if (cut.parts == 1) return;
  int slices = 1;  // more, where a tile has many parts and the GPU has room
  while (slices < 8 && 2 * slices <= cut.parts && tiles * kFours<Tile> * slices < 1 << 17) slices *= 2;
  launch(add_parts_kernel<Tile>, static_cast<unsigned>(tiles * kFours<Tile> * slices / kThreads), kThreads, layer,
         slices, parts.data(), grad_weight);
}

}  // namespace
}  // namespace atrous
