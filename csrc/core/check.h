// Checks that stay on in release builds. A failed check throws; the bindings turn it into a Python exception.
#pragma once
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace atrous {

// "(2, 3, 4)", for messages.
inline std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// A part of a message.
inline const char* text(const char* part) { return part; }
inline const std::string& text(const std::string& part) { return part; }
template <typename Number>
std::enable_if_t<std::is_arithmetic_v<Number>, std::string> text(Number number) {
  return std::to_string(number);
}
inline std::string text(const std::vector<int64_t>& shape) { return shape_text(shape); }
inline std::string text(const std::array<int64_t, 2>& pair) { return shape_text({pair[0], pair[1]}); }

// Bad sizes or values: becomes Python's ValueError. The message is put together only then: it costs more than a call.
template <typename... Parts>
inline void require(bool condition, const Parts&... parts) {
  if (!condition) throw std::invalid_argument((std::string() + ... + text(parts)));
}

// Every size that enters index arithmetic stays below 2^31, so that no product of two overflows.
inline void check_size(const char* function, const char* name, int64_t value, int64_t least) {
  require(value >= least && value < int64_t{1} << 31, function, ": ", name, " is ", value, "; expected at least ",
          least, " and below 2**31");
}

// a * b for sizes (>= 0), refusing to overflow.
inline int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t product;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product))
    throw std::invalid_argument("an array would be too large to address");
  return product;
}

}  // namespace atrous
