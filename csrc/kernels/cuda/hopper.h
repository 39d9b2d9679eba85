// What Hopper (sm_90a) adds for products of matrices, an instruction a function: barriers that count bytes, the copy
// engine (TMA), and products of whole tiles from shared memory. Addresses in shared memory are the 32-bit ones of PTX.
// Where the compiler knows no CUDA, tests/cuda_on_cpu/hopper_on_cpu.h stands in for all of it.
#pragma once
#include <cuda.h>  // CUtensorMap
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/async_copy.h"  // shared_memory

#ifndef __CUDACC__
#include "hopper_on_cpu.h"
#else
#include "kernels/cuda/pack.h"
#include "kernels/cuda/wgmma.h"

namespace atrous {

__device__ inline uint32_t shared_address(const void* place) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(place));
}

__device__ inline void store_shared(uint32_t to, const Pack<float, 4>& four) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to), "f"(four.v[0]), "f"(four.v[1]), "f"(four.v[2]),
               "f"(four.v[3])
               : "memory");
}

template <typename T>
__device__ inline void store_shared(uint32_t to, const Pack<T, 2>& two) {
  if constexpr (sizeof(two) == 8) {
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(to), "f"(two.v[0]), "f"(two.v[1]) : "memory");
  } else {
    uint32_t bits;
    memcpy(&bits, &two, 4);
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(bits) : "memory");
  }
}

template <int n = 4, typename T = float>
__device__ inline Pack<T, n> load_shared(uint32_t from) {
  return *static_cast<const Pack<T, n>*>(__cvta_shared_to_generic(from));
}

// Blocks of a cluster run at a time and read one another's shared memory, while none has ended. At their barrier
// whole warps wait for all of the cluster's that have not ended; then each sees what the others `wrote`, if they did.
// (If not, nothing is ordered: what the caller read from others it must have used, and so waited for.)
template <bool wrote = true>
__device__ inline void cluster_barrier() {
  __syncwarp();
  if constexpr (wrote)
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  else
    asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

// What the cluster's block `rank` has at this address.
__device__ inline Pack<float, 4> load_shared_of(int rank, uint32_t from) {
  uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(from), "r"(rank));
  Pack<float, 4> pack;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(pack.v[0]), "=f"(pack.v[1]), "=f"(pack.v[2]), "=f"(pack.v[3])
               : "r"(there)
               : "memory");
  return pack;
}

// A barrier's phase ends when `arrivals` threads have arrived and the copy engine has written all bytes they announced.
// One waits for the end of the phase of parity 0, then 1, then 0 and so on; before the first, parity 1 counts as ended.
__device__ inline void barrier_init(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// By the thread that initialised them: the copy engine, too, finds the barriers ready.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}

__device__ inline void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

__device__ inline void barrier_arrive_expecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Until the phase has ended. Then the caller sees what those who arrived had written, and may overwrite what they read.
__device__ inline void barrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t ended;
  do {  // each try sleeps for a while
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(ended)
                 : "r"(barrier), "r"(parity)
                 : "memory");
  } while (ended == 0);
}

// Copies by the engine, whose bytes are counted at the barrier; what lies outside of the tensor becomes 0.
//
// Pixels of an NHWC tensor: the first is (n, h, w), the next ones follow in the box of the map, along w, then h, then
// n; all are read at (h + offset_h, w + offset_w), from channel c on.
__device__ inline void copy_pixels(uint32_t to, const CUtensorMap* map, uint32_t barrier, int c, int w, int h, int n,
                                   uint16_t offset_w, uint16_t offset_h) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
      "l"(map), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h)
      : "memory");
}

// A box of a tensor of three axes, from (c2, c1, c0) on.
__device__ inline void copy_box(uint32_t to, const CUtensorMap* map, uint32_t barrier, int c0, int c1, int c2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(to),
      "l"(map), "r"(barrier), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}

// Products (wgmma.h) are started between wgmma_fence and wgmma_commit, which closes a group of them.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until of this warp's groups at most the last `left` are under way.
template <int left>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}

// The number of a thread in its warp, and of its block. Asked for by such an instruction, what follows from it is not
// kept in registers beyond its use.
__device__ inline int lane_number() {
  int lane;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}
__device__ inline int block_number() {
  int block;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
  return block;
}

// Changes how many registers each thread of this warp has, of its block's; by all four warps of a warpgroup alike.
template <int count>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}

// The compiler must not move what it does with these registers past this place: products write them unseen by it.
template <int n>
__device__ inline void pin(float (&sums)[n]) {
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

}  // namespace atrous
#endif

namespace atrous {

// A factor of a product in shared memory: rows of 128 bytes, in groups of 8 rows that are 1024 bytes apart, whose
// 16-byte pieces the copy engine permutes (piece p of row r lies at p ^ r % 8). `address` is a multiple of 1024 and,
// where K lies along the rows, some multiple of 32 bytes of a row. Where it does not, a row has 64 of the other axis'
// numbers of 16 bits, and those that follow are `apart` bytes further. PTX manual, "Matrix descriptor format": in bits
// 0 to 13 the address / 16, from bit 16 on `apart` / 16 (along the rows, no matter what), from bit 32 on the distance
// of the groups / 16, in bits 62 and 63 a 1, for the permutation.
__device__ inline uint64_t matrix_descriptor(uint32_t address, uint32_t apart = 16) {
  return uint64_t{(address & 0x3FFFF) >> 4} | uint64_t{apart >> 4} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

// Stages in shared memory, a ring. Each has two barriers: `full`, which ends when the engine has filled it, and
// `empty`, which ends when all who read it have arrived.
template <int count, int bytes>
struct Stages {
  static constexpr int kBytes = 1024 + count * (bytes + 16);  // up to 1024 are lost to an address that the engine takes
  uint32_t start;

  __device__ Stages() : start((shared_address(shared_memory<char>()) + 1023) & ~1023u) {}
  __device__ uint32_t stage(int number) const { return start + number * bytes; }
  __device__ uint32_t full(int number) const { return stage(count) + 16 * number; }
  __device__ uint32_t empty(int number) const { return full(number) + 8; }
  __device__ uint32_t end() const { return full(count); }

  __device__ void begin(int readers) const {  // by one thread, before all others use them
    for (int number = 0; number < count; ++number) {
      barrier_init(full(number), 1);
      barrier_init(empty(number), readers);
    }
    publish_barriers();
  }
};

// A ring's present stage, and the parity of its barriers' phase.
template <int count>
struct Ring {
  int stage = 0;
  uint32_t parity = 0;

  __device__ void next() {
    if (++stage < count) return;
    stage = 0;
    parity ^= 1;
  }
};

// Until all stages are empty, so that a reader may use their room for something else.
template <int count, int bytes>
__device__ inline void wait_for_readers(const Stages<count, bytes>& stages, Ring<count> ring) {
  for (int i = 0; i < count; ++i, ring.next()) barrier_wait(stages.empty(ring.stage), ring.parity ^ 1);
}

// sums = the products of so many steps, by a warpgroup; start(stage) starts those of a filled stage. A stage is freed
// one step later, when its products are done.
template <int count, int bytes, int n, typename F>
__device__ inline void add_steps(const Stages<count, bytes>& stages, Ring<count>& ring, int steps, float (&sums)[n],
                                 const F& start) {
#pragma unroll
  for (int i = 0; i < n; ++i) sums[i] = 0;
  pin(sums);
  int previous = 0;
  const auto release = [&] {  // the products that read that stage are done, this warp's at least
    if (threadIdx.x % 32 == 0) barrier_arrive(stages.empty(previous));
  };
  for (int step = 0; step < steps; ++step, ring.next()) {
    barrier_wait(stages.full(ring.stage), ring.parity);
    wgmma_fence();
    start(stages.stage(ring.stage));
    wgmma_commit();
    wgmma_wait<1>();  // for the previous step's
    if (step > 0) release();
    previous = ring.stage;
  }
  wgmma_wait<0>();
  release();
  pin(sums);
}

}  // namespace atrous
