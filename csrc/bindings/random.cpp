#include "kernels/random.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

NdArray random_bits(uint64_t seed, uint64_t stream, int64_t offset, int64_t count) {
  require(offset >= 0 && count >= 0, "random_bits: offset and count must not be negative");
  require(count < (int64_t{1} << 48), "random_bits: count is ", count, "; expected less than 2^48");
  require(offset <= INT64_MAX - count, "random_bits: the stream has 2^63 words; offset + count is beyond its end");
  NdArray bits = empty<uint32_t>({count});
  auto* out = mutable_data<uint32_t>(bits);
  const auto kernels = at_level([](auto level) { return random_kernels<decltype(level)::value>(); });
  {
    ReleaseGil gil(bytes_moved(4.0 * static_cast<double>(count)));
    kernels.bits(seed, stream, static_cast<uint64_t>(offset), count, out);
  }
  return bits;
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("random_bits", &random_bits, "seed"_a, "stream"_a, "offset"_a, "count"_a,
        "Words of a Philox4x32-10 stream, as uint32.");
}

}  // namespace atrous
