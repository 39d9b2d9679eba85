// Checks that stay on in release builds. A failed check throws; the bindings turn it into a Python exception.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace atrous {

// Bad sizes or values: becomes Python's ValueError. The parts of the message are put together only then.
template <typename... Parts>
inline void require(bool condition, const Parts&... parts) {
  if (!condition) throw std::invalid_argument((std::string() + ... + parts));
}

// a * b for sizes (>= 0), refusing to overflow.
inline int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t product;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product))
    throw std::invalid_argument("an array would be too large to address");
  return product;
}

}  // namespace atrous
