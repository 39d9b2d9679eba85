// Pairs of small kernels, one with a race and the same without it: what looks for races must tell them apart
// (tests/cuda_races.py).
#include <iterator>
#include <stdexcept>

#include "kernels/cuda/hopper.h"
#include "kernels/cuda/mma.h"

namespace atrous {
namespace {

constexpr unsigned kThreads = 128;
constexpr int kRows = 64, kBytes = 128 * kRows;  // of a stage

float numbers[32 * kRows];
volatile float read;  // so that the compiler leaves reads where they are

unsigned thread() { return threadIdx.x; }

void block_waits(bool sound) {
  float* const shared = shared_memory<float>();
  shared[thread()] = 1;
  if (sound) __syncthreads();
  read = shared[thread() ^ 32];
}

void warp_waits(bool sound) {  // a shuffle says nothing of memory
  float* const shared = shared_memory<float>();
  shared[thread()] = 1;
  sound ? __syncwarp() : static_cast<void>(__shfl_xor_sync(~0u, 1, 1));
  read = shared[thread() ^ 1];
}

void writer_waits(bool sound) {
  __shared__ float declared[kThreads];
  declared[thread()] = 1;
  __syncthreads();
  read = declared[thread() ^ 32];
  if (sound) __syncthreads();
  declared[thread()] = 2;
}

void copy_is_shared(bool sound) {  // a thread that waits for its copies does so for itself
  float* const shared = shared_memory<float>();
  copy_async<4>(shared + thread(), numbers, true);
  close_copies();
  wait_copies<0>();
  if (sound) __syncthreads();
  read = shared[thread() ^ 32];
}

void copy_is_there(bool sound) {
  float* const shared = shared_memory<float>();
  copy_async<4>(shared + thread(), numbers, true);
  close_copies();
  if (sound) wait_copies<0>();
  __syncthreads();
  read = shared[thread() ^ 32];
  wait_copies<0>();
}

void copy_waits(bool sound) {
  float* const shared = shared_memory<float>();
  read = shared[thread() ^ 32];
  if (sound) __syncthreads();
  copy_async<4>(shared + thread(), numbers, true);
  __syncthreads();
  close_copies();
  wait_copies<0>();
}

void matrices_wait(bool sound) {
  float* const shared = shared_memory<float>();
  uint32_t four[4];
  if (thread() < 32) shared[thread()] = 1;
  if (sound) __syncthreads();
  load_matrices(shared + 4 * (thread() % 8), four);
  read = __uint_as_float(four[0] ^ four[1] ^ four[2] ^ four[3]);
}

// The engine fills a stage, which all threads read.
using Stage = Stages<1, kBytes>;

CUtensorMap map_of_numbers() {
  CUtensorMap map;
  const cuuint64_t sizes[] = {32, 1, kRows}, strides[] = {128, 128};
  const cuuint32_t box[] = {32, 1, kRows}, steps[] = {1, 1, 1};
  cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 3, numbers, sizes, strides, box, steps,
                         CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return map;
}

void fill(const Stage& stages, const CUtensorMap& map) {
  barrier_arrive_expecting(stages.full(0), kBytes);
  copy_box(stages.stage(0), &map, stages.full(0), 0, 0, 0);
}

Stage filled(const CUtensorMap& map) {
  const Stage stages;
  if (thread() == 0) {
    stages.begin(kThreads / 32);
    fill(stages, map);
  }
  __syncthreads();
  return stages;
}

void barriers_are_there(bool sound) {
  const Stage stages;
  if (thread() == 0) stages.begin(kThreads);
  if (sound || thread() >= 64) __syncthreads();
  barrier_arrive(stages.empty(0));
  if (!sound && thread() < 64) __syncthreads();
}

void reader_waits(bool sound) {
  const CUtensorMap map = map_of_numbers();
  const Stage stages = filled(map);
  if (sound || thread() % 2 == 0) barrier_wait(stages.full(0), 0);
  read = load_shared(stages.stage(0) + 16 * thread()).v[0];
}

void engine_waits(bool sound) {  // for one lane of each warp, which arrives for all of them
  const CUtensorMap map = map_of_numbers();
  const Stage stages = filled(map);
  barrier_wait(stages.full(0), 0);
  read = load_shared(stages.stage(0) + 16 * thread()).v[0];
  if (sound) __syncwarp();
  if (thread() % 32 == 0) barrier_arrive(stages.empty(0));
  if (thread() != 0) return;
  barrier_wait(stages.empty(0), 0);
  fill(stages, map);
  barrier_wait(stages.full(0), 1);
}

void products_are_done(bool sound) {
  const CUtensorMap map = map_of_numbers();
  const Stage stages = filled(map);
  float sums[32] = {};
  barrier_wait(stages.full(0), 0);
  wgmma_fence();
  wgmma<float>(sums, matrix_descriptor(stages.stage(0)), matrix_descriptor(stages.stage(0)));
  wgmma_commit();
  if (sound) wgmma_wait<0>();
  if (thread() % 32 == 0) barrier_arrive(stages.empty(0));
  if (thread() == 0) {
    barrier_wait(stages.empty(0), 0);
    fill(stages, map);
    barrier_wait(stages.full(0), 1);
  }
  wgmma_wait<0>();
}

void cluster_waits(bool sound) {
  const uint32_t mine = shared_address(shared_memory<char>()) + 16 * thread();
  store_shared(mine, Pack<float, 4>{});
  sound ? cluster_barrier() : __syncthreads();
  read = load_shared_of(static_cast<int>(cuda_on_cpu::rank() ^ 1), mine).v[0];
  cluster_barrier();
}

void (*const kernels[])(bool) = {block_waits,   warp_waits,   writer_waits,      copy_is_shared,
                                 copy_is_there, copy_waits,   matrices_wait,     barriers_are_there,
                                 reader_waits,  engine_waits, products_are_done, cluster_waits};

}  // namespace
}  // namespace atrous

int cuda_on_cpu::racy_kernels() { return 2 * static_cast<int>(std::size(atrous::kernels)); }

void cuda_on_cpu::run_racy(int number) {
  if (number < 0 || number >= racy_kernels()) throw std::out_of_range("there are not so many");
  const auto kernel = atrous::kernels[number / 2];
  const auto thread = [=] { kernel(number % 2 == 1); };
  run(2, atrous::kThreads, thread, atrous::Stage::kBytes, kernel == atrous::cluster_waits ? 2 : 1);
}
