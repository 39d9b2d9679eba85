// The convolution by Hopper's matrix units, as a product of matrices that is nowhere in memory:
//   y[m, oc] = sum over k of pixels[m, k] * filters[oc, k]
// m counts output pixels (n, oh, ow), k taps and input channels (kh, kw, ic), as they lie in weight. A block computes
// tiles of kRows pixels x kColumns channels, one after the other. One thread asks the copy engine to fill a ring of
// stages in shared memory, each with the tile's pixels and filters at one tap and kHopperDepth channels; two or three
// warpgroups multiply, each for 64 of the pixels, with all sums in registers. A stage has two barriers: `full`, on
// which the warpgroups wait, and `empty`, on which the engine's thread waits.
#include <optional>

#include "core/memory.h"
#include "kernels/cuda/conv2d_hopper.h"
#include "kernels/cuda/conv2d_tiles.h"
#include "kernels/cuda/hopper.h"
#include "kernels/cuda/tensor_maps.h"

namespace atrous {
namespace {

struct Layer {
  int M, OC, OH, OW, sh, sw, ph, pw;
  int IC, KW, dh, dw, steps;
  int column_tiles, tiles;
};

// A warp turns its sums into rows by way of a room in shared memory, 16 rows of 16 columns at a time; there they are so
// far apart that no two lanes write to one bank.
constexpr int kPass = 16;                // columns
constexpr int kPitch = 4 * (kPass + 8);  // bytes
constexpr int kRoom = 16 * kPitch;

template <int number>  // in kHopperTiles
struct Tile {
  static constexpr HopperTile kTile = kHopperTiles[number];
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns, kStages = kTile.stages, kBlocks = kTile.blocks;
  static constexpr int kWarps = kRows / 16;  // which multiply; the engine's thread is in a further one
  static constexpr int kThreads = 32 * (kWarps + 1);
  static constexpr int kPixelBytes = kRows * 128, kStageBytes = kPixelBytes + kColumns * 128;
  static constexpr int kShared = 1024 + kStages * (kStageBytes + 16) + kWarps * kRoom;
  static_assert(kBlocks * (kShared + 1024) <= 228 * 1024);
};

// Places in shared memory.
template <typename Tile>
struct Places {
  uint32_t stages, rooms, barriers;

  __device__ Places() {
    stages = (shared_address(shared_memory<char>()) + 1023) & ~1023u;
    rooms = stages + Tile::kStages * Tile::kStageBytes;
    barriers = rooms + Tile::kWarps * kRoom;
  }
  __device__ uint32_t pixels(int stage) const { return stages + stage * Tile::kStageBytes; }
  __device__ uint32_t filters(int stage) const { return pixels(stage) + Tile::kPixelBytes; }
  __device__ uint32_t full(int stage) const { return barriers + 16 * stage; }
  __device__ uint32_t empty(int stage) const { return barriers + 16 * stage + 8; }
};

template <typename Tile>
__device__ void fill(const Layer& layer, const Places<Tile>& places, const CUtensorMap* pixels,
                     const CUtensorMap* filters) {
  Ring<Tile::kStages> ring;
  for (int tile = blockIdx.x; tile < layer.tiles; tile += gridDim.x) {
    const int m = tile / layer.column_tiles * Tile::kRows, oc = tile % layer.column_tiles * Tile::kColumns;
    const int row = m / layer.OW, n = row / layer.OH;
    const int h = (row - n * layer.OH) * layer.sh - layer.ph, w = (m - row * layer.OW) * layer.sw - layer.pw;
    int kh = 0, kw = 0, c = 0;
    for (int step = 0; step < layer.steps; ++step, ring.next()) {
      barrier_wait(places.empty(ring.stage), ring.parity ^ 1);
      const uint32_t full = places.full(ring.stage);
      barrier_arrive_expecting(full, Tile::kStageBytes);
      copy_pixels(places.pixels(ring.stage), pixels, full, c, w, h, n, static_cast<uint16_t>(kw * layer.dw),
                  static_cast<uint16_t>(kh * layer.dh));
      copy_box(places.filters(ring.stage), filters, full, c, kh * layer.KW + kw, oc);
      if ((c += kHopperDepth) < layer.IC) continue;
      c = 0;
      if (++kw == layer.KW) kw = 0, ++kh;
    }
  }
}

// The sums of a warp, of 16 pixels from m on and the columns from oc on, through the epilogue into y.
template <int n>
__device__ void store(const Layer& layer, const Target<float>& target, uint32_t room, int m, int oc,
                      const float (&sums)[n]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4, column = lane % 4 * 2;
#pragma unroll
  for (int pass = 0; pass < 2 * n / kPass; ++pass) {
    const int first = oc + pass * kPass, own = first + lane % 4 * 4;
    if (first >= layer.OC) break;
#pragma unroll
    for (int j = 0; j < kPass / 8; ++j) {
      const float* const four = sums + (pass * (kPass / 8) + j) * 4;
      const uint32_t to = room + row * kPitch + 4 * (8 * j + column);
      store_shared(to, four[0], four[1]);
      store_shared(to + 8 * kPitch, four[2], four[3]);
    }
    __syncwarp();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = m + row + 8 * half;
      if (pixel >= layer.M || own >= layer.OC) continue;
      const Pack<float, 4> four = load_shared(room + (row + 8 * half) * kPitch + lane % 4 * 16);
      if (target.packed) {
        target.put(int64_t{pixel} * layer.OC, own, four);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (own + e < layer.OC) target.put(int64_t{pixel} * layer.OC, own + e, Pack<float, 1>{{four.v[e]}});
      }
    }
    __syncwarp();
  }
}

template <typename Tile>
__device__ void multiply(const Layer& layer, const Places<Tile>& places, int warp, const Target<float>& target) {
  const int group = warp / 4, lane = static_cast<int>(threadIdx.x) % 32;
  const uint64_t pixels = matrix_descriptor(places.pixels(0) + group * 64 * 128);
  const uint64_t filters = matrix_descriptor(places.filters(0));
  Ring<Tile::kStages> ring;
  for (int tile = blockIdx.x; tile < layer.tiles; tile += gridDim.x) {
    float sums[Tile::kColumns / 2];
#pragma unroll
    for (int i = 0; i < Tile::kColumns / 2; ++i) sums[i] = 0;
    pin(sums);
    int previous = 0;
    const auto release = [&] {  // the products that read that stage are done, this warp's at least
      if (lane == 0) barrier_arrive(places.empty(previous));
    };
    for (int step = 0; step < layer.steps; ++step, ring.next()) {
      barrier_wait(places.full(ring.stage), ring.parity);
      const uint64_t stage = ring.stage * (Tile::kStageBytes / 16);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k)  // 32 bytes of each row
        wgmma(sums, pixels + stage + 2 * k, filters + stage + 2 * k);
      wgmma_commit();
      wgmma_wait<1>();  // for the previous step's
      if (step > 0) release();
      previous = ring.stage;
    }
    wgmma_wait<0>();
    release();
    pin(sums);
    const int m = tile / layer.column_tiles * Tile::kRows + 16 * warp, oc = tile % layer.column_tiles * Tile::kColumns;
    store(layer, target, places.rooms + warp * kRoom, m, oc, sums);
  }
}

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    hopper_kernel(const __grid_constant__ Layer layer, const __grid_constant__ Target<float> target,
                  const __grid_constant__ CUtensorMap pixels, const __grid_constant__ CUtensorMap filters) {
  const Places<Tile> places;
  const int warp =
      __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);  // tells the compiler: the same in all lanes
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Tile::kStages; ++stage) {
      barrier_init(places.full(stage), 1);
      barrier_init(places.empty(stage), Tile::kWarps);
    }
    publish_barriers();
  }
  __syncthreads();
  if (warp < Tile::kWarps)
    multiply<Tile>(layer, places, warp, target);
  else if (threadIdx.x == 32 * Tile::kWarps)
    fill<Tile>(layer, places, &pixels, &filters);
}

// to (IC, taps, OC) = from (OC, taps, IC), with the taps in reverse. A block takes 32 x 32 numbers of a tap by way of
// shared memory, so that both sides are read and written along their rows.
__global__ void reverse_kernel(const float* from, int OC, int taps, int IC, int oc_tiles, int ic_tiles, float* to) {
  __shared__ float square[32][33];
  const int x = static_cast<int>(threadIdx.x) % 32, y = static_cast<int>(threadIdx.x) / 32;
  const int rest = blockIdx.x / ic_tiles, tap = rest / oc_tiles;
  const int64_t first_ic = blockIdx.x % ic_tiles * 32, first_oc = rest % oc_tiles * 32;
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t oc = first_oc + i, ic = first_ic + x;
    if (oc < OC && ic < IC) square[i][x] = from[(oc * taps + tap) * IC + ic];
  }
  __syncthreads();
  for (int i = y; i < 32; i += kThreads / 32) {
    const int64_t ic = first_ic + i, oc = first_oc + x;
    if (oc < OC && ic < IC) to[(ic * taps + (taps - 1 - tap)) * OC + oc] = square[x][i];
  }
}

// Launchers.

int attribute(cudaDeviceAttr of) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "device");
  check_cuda(cudaDeviceGetAttribute(&value, of, device), "device");
  return value;
}

// This file's code is for compute capability 9.0 and no other.
bool is_hopper() {
  return attribute(cudaDevAttrComputeCapabilityMajor) == 9 && attribute(cudaDevAttrComputeCapabilityMinor) == 0 &&
         MapEncoders::get().exist();
}

// Numbers where the copy engine can read them: itself, or a copy that begins at a multiple of 16 bytes.
class Aligned {
 public:
  Aligned(const float* from, int64_t n) : data_(from) {
    if (are_aligned(from)) return;
    copy_.emplace(n);
    data_ = copy_->data();
    check_cuda(cudaMemcpyAsync(copy_->data(), from, static_cast<size_t>(n) * sizeof(float), cudaMemcpyDeviceToDevice,
                               current_stream()),
               "copy");
  }
  const float* data() const { return data_; }

 private:
  std::optional<Workspace<float>> copy_;
  const float* data_;
};

template <typename Tile>
void launch_hopper(const Conv2dShape& s, const float* x, const float* weight, const Target<float>& target) {
  const auto narrow = [](int64_t value) { return static_cast<int>(value); };
  const int64_t M = s.N * s.OH * s.OW, column_tiles = divide_up(s.OC, Tile::kColumns);
  const int64_t tiles = divide_up(M, Tile::kRows) * column_tiles;
  const Layer layer{narrow(M),
                    narrow(s.OC),
                    narrow(s.OH),
                    narrow(s.OW),
                    narrow(s.sh),
                    narrow(s.sw),
                    narrow(s.ph),
                    narrow(s.pw),
                    narrow(s.IC),
                    narrow(s.KW),
                    narrow(s.dh),
                    narrow(s.dw),
                    narrow(hopper_steps(s)),
                    narrow(column_tiles),
                    narrow(tiles)};
  const int64_t at_once = Tile::kBlocks * int64_t{attribute(cudaDevAttrMultiProcessorCount)};
  launch_shared(hopper_kernel<Tile>, static_cast<unsigned>(tiles < at_once ? tiles : at_once), Tile::kThreads,
                Tile::kShared, layer, target, map_of_pixels(s, x, Tile::kRows, kHopperDepth),
                map_of_filters(s, weight, Tile::kColumns, kHopperDepth));
}

// Both factors aligned.
void run_hopper(const Conv2dShape& s, const float* x, const float* weight, const Epilogue<float>& e, float* y) {
  const Target<float> target{y, e, may_be_packed<4>(s.OC, y, e.scale, e.bias, e.residual)};
  switch (hopper_tile(s)) {
    case 0:
      return launch_hopper<Tile<0>>(s, x, weight, target);
    case 1:
      return launch_hopper<Tile<1>>(s, x, weight, target);
    case 2:
      return launch_hopper<Tile<2>>(s, x, weight, target);
    case 3:
      return launch_hopper<Tile<3>>(s, x, weight, target);
    default:
      return launch_hopper<Tile<4>>(s, x, weight, target);
  }
}

}  // namespace

bool forward_hopper(const Conv2dShape& s, const float* x, const float* weight, const Epilogue<float>& e, float* y) {
  if (!hopper_fits(s) || !is_hopper()) return false;
  const Aligned pixels(x, s.N * s.IH * s.IW * s.IC), filters(weight, s.OC * s.KH * s.KW * s.IC);
  run_hopper(s, pixels.data(), filters.data(), e, y);
  return true;
}

bool backward_input_hopper(const Conv2dShape& s, const float* grad_y, const float* weight, float* grad_x) {
  const Conv2dShape back = backward_of(s);
  const int64_t taps = s.KH * s.KW, oc_tiles = divide_up(s.OC, 32), ic_tiles = divide_up(s.IC, 32);
  const int64_t blocks = taps * oc_tiles * ic_tiles;
  if (s.sh != 1 || s.sw != 1 || !hopper_fits(back) || blocks >= int64_t{1} << 31 || !is_hopper()) return false;
  const Workspace<float> filters(s.IC * taps * s.OC);
  launch(reverse_kernel, static_cast<unsigned>(blocks), kThreads, weight, static_cast<int>(s.OC),
         static_cast<int>(taps), static_cast<int>(s.IC), static_cast<int>(oc_tiles), static_cast<int>(ic_tiles),
         filters.data());
  const Aligned pixels(grad_y, s.N * s.OH * s.OW * s.OC);
  run_hopper(back, pixels.data(), filters.data(), {}, grad_x);
  return true;
}

}  // namespace atrous
