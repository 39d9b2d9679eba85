// random: Philox blocks, a group of them at a time so that the compiler turns the lanes of a round into vectors.
#include "kernels/random.h"

#include "core/parallel.h"
#include "core/simd.h"

namespace atrous::ATROUS_LEVEL {
namespace {

constexpr int kLanes = ATROUS_VECTOR_BYTES / 4;
constexpr int64_t kPieceBlocks = 16384;  // blocks of a piece: 256 KB of bits

// words[w][lane] = word w of block first + lane
void philox_blocks(uint64_t seed, uint64_t stream, uint64_t first, uint32_t (&words)[4][kLanes]) {
  for (int lane = 0; lane < kLanes; ++lane) {
    words[0][lane] = static_cast<uint32_t>(first + lane);
    words[1][lane] = static_cast<uint32_t>((first + lane) >> 32);
    words[2][lane] = static_cast<uint32_t>(stream);
    words[3][lane] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t a = uint64_t{0xD2511F53u} * words[0][lane], b = uint64_t{0xCD9E8D57u} * words[2][lane];
      const uint32_t second = words[1][lane], fourth = words[3][lane];
      words[0][lane] = static_cast<uint32_t>(b >> 32) ^ second ^ key0;
      words[1][lane] = static_cast<uint32_t>(b);
      words[2][lane] = static_cast<uint32_t>(a >> 32) ^ fourth ^ key1;
      words[3][lane] = static_cast<uint32_t>(a);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// Writes words [begin, end) of the stream to bits + begin - offset.
void fill(uint64_t seed, uint64_t stream, uint64_t begin, uint64_t end, uint32_t* to) {
  uint32_t words[4][kLanes];
  for (uint64_t block = begin / 4; block * 4 < end; block += kLanes) {
    philox_blocks(seed, stream, block, words);
    const bool whole = block * 4 >= begin && (block + kLanes) * 4 <= end;
    for (int lane = 0; lane < kLanes; ++lane)
      for (int w = 0; w < 4; ++w) {
        const uint64_t position = (block + lane) * 4 + w;
        if (whole || (position >= begin && position < end)) to[position - begin] = words[w][lane];
      }
  }
}

void random_bits(uint64_t seed, uint64_t stream, uint64_t offset, int64_t count, uint32_t* bits) {
  constexpr int64_t kPiece = 4 * kPieceBlocks;
  parallel_for(divide_up(count, kPiece), [&](int64_t piece, int) {
    const int64_t first = piece * kPiece, last = min_of(count, first + kPiece);
    fill(seed, stream, offset + first, offset + last, bits + first);
  });
}

}  // namespace
}  // namespace atrous::ATROUS_LEVEL

namespace atrous {
template <>
RandomKernels random_kernels<Level::ATROUS_LEVEL>() {
  return {ATROUS_LEVEL::random_bits};
}
}  // namespace atrous
