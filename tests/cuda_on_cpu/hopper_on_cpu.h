// What kernels/cuda/hopper.h gives, on a CPU. The engine's copies come as late as they can, in one order of threads the
// youngest first, and in another at once; products are done when a thread waits for them. So one that forgets to wait,
// or releases a stage too early, reads what is not there.
#pragma once
#include <cuda.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "cuda_runtime.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/pack.h"
#include "races.h"

namespace atrous {

// Addresses count from a place that is no multiple of the 1024 bytes which kernels need.
constexpr uint32_t kSharedStart = 1040;

inline char* shared_place(uint32_t address, unsigned rank = cuda_on_cpu::rank()) {
  return static_cast<char*>(cuda_on_cpu::shared_memory_of(rank)) + (address - kSharedStart);
}

inline uint32_t shared_address(const void* place) {
  return static_cast<uint32_t>(static_cast<const char*>(place) - shared_place(0));
}

template <typename T, int n>
void store_shared(uint32_t to, const Pack<T, n>& pack) {
  std::memcpy(shared_place(to), &pack, sizeof(pack));
}

template <int n = 4, typename T = float>
Pack<T, n> load_shared(uint32_t from) {
  Pack<T, n> pack;
  std::memcpy(&pack, shared_place(from), sizeof(pack));
  return pack;
}

template <bool wrote = true>
void cluster_barrier() {
  cuda_on_cpu::cluster_barrier();
}

inline Pack<float, 4> load_shared_of(int rank, uint32_t from) {
  Pack<float, 4> pack;
  std::memcpy(&pack, shared_place(from, static_cast<unsigned>(rank)), sizeof(pack));
  return pack;
}

struct Barrier {
  int arrivals, missing;
  int64_t bytes;  // announced and not there
  uint32_t phase;
  cuda_on_cpu::races::Clock before_end, before_wait;  // of this phase, of the last one

  void end_if_complete() {
    if (missing > 0 || bytes != 0) return;
    missing = arrivals;
    ++phase;
    before_wait = std::move(before_end);
    before_end.clear();
  }
};

inline Barrier& barrier_at(uint32_t address) {
  static std::unordered_map<uint64_t, Barrier> barriers;
  return barriers[uint64_t{cuda_on_cpu::rank()} << 32 | address];
}

inline void barrier_init(uint32_t barrier, uint32_t arrivals) {
  cuda_on_cpu::races::write(shared_place(barrier), 8);
  barrier_at(barrier) = {static_cast<int>(arrivals), static_cast<int>(arrivals), 0, 0, {}, {}};
}

inline void publish_barriers() {}

inline void barrier_arrive_expecting(uint32_t barrier, uint32_t bytes) {
  Barrier& at = barrier_at(barrier);
  cuda_on_cpu::races::read(shared_place(barrier), 8);  // threads that arrive do not disturb one another
  cuda_on_cpu::races::give(at.before_end);
  at.bytes += bytes;
  --at.missing;
  at.end_if_complete();
}

// Who waited for that may be there at once.
inline void barrier_arrive(uint32_t barrier) {
  barrier_arrive_expecting(barrier, 0);
  cuda_on_cpu::give_way();
}

inline void barrier_wait(uint32_t barrier, uint32_t parity) {
  cuda_on_cpu::races::read(shared_place(barrier), 8);
  cuda_on_cpu::wait_until([barrier, parity] { return barrier_at(barrier).phase % 2 != parity; });
  cuda_on_cpu::races::take(barrier_at(barrier).before_wait);
}

// 16-byte pieces of a row of 128 bytes change places.
inline uint32_t permuted(uint32_t address) { return address ^ (address >> 3 & 0x70); }

// A row of channels from c on, zeros where there is nothing.
inline void copy_row(uint32_t to, const CUtensorMap& map, const char* row, int c) {
  for (int i = 0; i < map.box[0]; ++i) {
    uint32_t bits = 0;
    const auto bytes = static_cast<size_t>(map.bytes);
    char* const place = shared_place(permuted(to + static_cast<uint32_t>(map.bytes * i)));
    if (row && c + i < map.sizes[0]) std::memcpy(&bits, row + map.bytes * (c + i), bytes);
    if (map.rounds) bits = to_tf32<false>(bits) & ~0x1FFFu;
    std::memcpy(place, &bits, bytes);
    cuda_on_cpu::races::write(place, bytes);
  }
}

inline void land(uint32_t barrier, int rows) {
  Barrier& at = barrier_at(barrier);
  cuda_on_cpu::races::give(at.before_end);
  at.bytes -= 128 * rows;
  at.end_if_complete();
}

inline void check_copy(bool good) {
  if (!good) throw std::runtime_error("the copy engine was given a place that it does not know");
}

inline void copy_pixels(uint32_t to, const CUtensorMap* of, uint32_t barrier, int c, int w, int h, int n,
                        uint16_t offset_w, uint16_t offset_h) {
  ++cuda_on_cpu::engine_copies;
  cuda_on_cpu::do_later(barrier, [=, map = *of] {
    const int64_t last_w = map.sizes[1] - 1 + map.upper[0], last_h = map.sizes[2] - 1 + map.upper[1];
    check_copy(to % 1024 == 0 && offset_w < 256 && offset_h < 256 && n < map.sizes[3] && w >= map.lower[0] &&
               w <= last_w && h >= map.lower[1] && h <= last_h);
    int64_t at_w = w, at_h = h, at_n = n;
    for (int pixel = 0; pixel < map.box[1]; ++pixel) {
      const int64_t from_w = at_w + offset_w, from_h = at_h + offset_h;
      const bool inside =
          from_w >= 0 && from_w < map.sizes[1] && from_h >= 0 && from_h < map.sizes[2] && at_n < map.sizes[3];
      const char* row = map.from + at_n * map.strides[3] + from_h * map.strides[2] + from_w * map.strides[1];
      copy_row(to + static_cast<uint32_t>(128 * pixel), map, inside ? row : nullptr, c);
      if ((at_w += map.steps[1]) <= last_w) continue;
      at_w = map.lower[0];
      if ((at_h += map.steps[2]) <= last_h) continue;
      at_h = map.lower[1];
      ++at_n;
    }
    land(barrier, map.box[1]);
  });
}

inline void copy_box(uint32_t to, const CUtensorMap* of, uint32_t barrier, int c0, int c1, int c2) {
  cuda_on_cpu::do_later(barrier, [=, map = *of] {
    check_copy(to % 1024 == 0 && map.box[1] == 1);
    for (int row = 0; row < map.box[2]; ++row) {
      const bool inside = c1 < map.sizes[1] && c2 + row < map.sizes[2];
      const char* from = map.from + (c2 + row) * map.strides[2] + c1 * map.strides[1];
      copy_row(to + static_cast<uint32_t>(128 * row), map, inside ? from : nullptr, c0);
    }
    land(barrier, map.box[2]);
  });
}

// Products: each thread does its own part of them.
struct Product {
  float* sums;
  int columns;
  uint64_t a, b;
  void (*add)(const Product&);
  cuda_on_cpu::races::Clock started;
};

struct Products {
  std::vector<Product> open;
  std::deque<std::vector<Product>> closed;
};

inline Products& products_of_thread() {
  static Products of_thread[cuda_on_cpu::kMostThreads];
  return of_thread[cuda_on_cpu::place->number];
}

// Number k of row i of a factor, as far as the units see it.
template <typename T, bool by_columns>
float factor(uint64_t descriptor, uint32_t i, uint32_t k) {
  const auto start = static_cast<uint32_t>(descriptor & 0x3FFF) << 4;
  const auto apart = static_cast<uint32_t>(descriptor >> 16 & 0x3FFF) << 4;
  const auto group = static_cast<uint32_t>(descriptor >> 32 & 0x3FFF) << 4;
  const uint32_t at = by_columns ? start + i / 64 * apart + k / 8 * group + k % 8 * 128 + i % 64 * 2
                                 : start + i / 8 * group + i % 8 * 128 + k * sizeof(T);
  uint32_t bits = 0;
  std::memcpy(&bits, shared_place(permuted(at)), sizeof(T));
  return number_of<T>(bits, 0);
}

template <typename T, bool a_by_columns, bool b_by_columns>
void add(const Product& product) {
  constexpr unsigned K = 32 / sizeof(T);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  float rows[2][K];
  for (unsigned half = 0; half < 2; ++half)
    for (unsigned k = 0; k < K; ++k)
      rows[half][k] = factor<T, a_by_columns>(product.a, 16 * warp + lane / 4 + 8 * half, k);
  for (int i = 0; i < product.columns / 2; i += 4)
    for (unsigned j = 0; j < 2; ++j)
      for (unsigned k = 0; k < K; ++k) {
        const float b = factor<T, b_by_columns>(product.b, static_cast<unsigned>(2 * i) + 2 * (lane % 4) + j, k);
        for (unsigned half = 0; half < 2; ++half)
          product.sums[i + 2 * static_cast<int>(half) + static_cast<int>(j)] += rows[half][k] * b;
      }
}

template <typename T, bool a_by_columns = false, bool b_by_columns = false, int n>
void wgmma(float (&sums)[n], uint64_t a, uint64_t b) {
  products_of_thread().open.push_back(
      {sums, 2 * n, a, b, add<T, a_by_columns, b_by_columns>, cuda_on_cpu::races::now()});
}

inline void wgmma_fence() {}

inline void wgmma_commit() {
  Products& mine = products_of_thread();
  mine.closed.push_back(std::move(mine.open));
  mine.open.clear();
}

template <int left>
void wgmma_wait() {
  Products& mine = products_of_thread();
  for (; mine.closed.size() > left; mine.closed.pop_front())
    for (const Product& product : mine.closed.front()) {
      cuda_on_cpu::races::run_started(product.started);
      product.add(product);
      cuda_on_cpu::races::run_thread(cuda_on_cpu::place->number);
    }
  __syncwarp();
}

inline int lane_number() { return static_cast<int>(threadIdx.x) % 32; }
inline int block_number() { return static_cast<int>(blockIdx.x); }

template <int count>
void give_registers() {}
template <int count>
void take_registers() {}

template <int n>
void pin(float (&)[n]) {}

}  // namespace atrous
