// Philox: a thread for 16 bytes of the stream, which are one block where the offset is a multiple of 4.
#include "kernels/cuda/capture.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/random.h"

namespace atrous {
namespace {

using Words = Pack<uint32_t, 4>;

struct Position {
  uint64_t seed, stream, offset;
};

__device__ Words philox(uint64_t seed, uint64_t stream, uint64_t block) {
  Words x{{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
           static_cast<uint32_t>(stream >> 32)}};
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * x.v[0], b = uint64_t{0xCD9E8D57u} * x.v[2];
    x = {{static_cast<uint32_t>(b >> 32) ^ x.v[1] ^ key0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ x.v[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return x;
}

// Words [offset + i, offset + i + 4) of the stream, from two blocks where they do not begin one: computed twice, by
// neighbours too, which still costs little more than the memory does. given: ByValue or FromMemory of a position.
template <bool whole_blocks, typename Given>
__global__ void bits_kernel(Given given, int64_t count, uint32_t* bits) {
  const auto [seed, stream, offset] = given.get();
  const int64_t step = int64_t{gridDim.x} * blockDim.x * 4;
  for (int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 4; i < count; i += step) {
    const uint64_t block = (offset + i) / 4;
    Words words = philox(seed, stream, block);
    if (!whole_blocks) {
      const Words first = words, second = philox(seed, stream, block + 1);
      const int skip = static_cast<int>(offset % 4);
      for (int w = 0; w < 4; ++w)
        for (int from = 0; from < 8; ++from)  // by a constant: registers have no addresses
          if (w + skip == from) words.v[w] = from < 4 ? first.v[from % 4] : second.v[from % 4];
    }
    if (i + 4 <= count)
      store_pack(bits + i, words);
    else
      for (int w = 0; w < 4; ++w)
        if (i + w < count) bits[i + w] = words.v[w];
  }
}

// bits begins a block of memory: the binding allocated it.
void random_bits(uint64_t seed, uint64_t stream, uint64_t offset, int64_t count, uint32_t* bits) {
  const unsigned blocks = blocks_for((count + 3) / 4);
  if (capturing()) {
    const FromMemory<Position> given{static_cast<const Position*>(captured_numbers("random_bits"))};
    return launch(bits_kernel<false, FromMemory<Position>>, blocks, kThreads, given, count, bits);
  }
  auto* const kernel = offset % 4 == 0 ? bits_kernel<true, ByValue<Position>> : bits_kernel<false, ByValue<Position>>;
  launch(kernel, blocks, kThreads, ByValue<Position>{{seed, stream, offset}}, count, bits);
}

}  // namespace

template <>
RandomKernels random_kernels<Level::cuda>() {
  return {random_bits};
}

}  // namespace atrous
