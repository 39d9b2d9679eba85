// What the bindings ask of the CPU: its arrays are NumPy's, and a kernel runs on the calling thread.
// bindings/cuda/device.h says the same of a GPU; the include path decides which of the two a module is made of.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <vector>

#include "core/cpu_features.h"  // at_level

namespace atrous {
namespace py = pybind11;

using NdArray = py::array;
inline constexpr const char* kArrayType = "numpy.ndarray";

class Axes;

// A new array in pool memory. Strides are in bytes.
NdArray new_array(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides);

// The elements of an array of any strides, copied into dense memory with these axes from slowest to fastest.
std::shared_ptr<void> copy_in_order(const NdArray& array, const Axes& axes);

// n float32 values in float64.
std::shared_ptr<double> widened(const float* values, int64_t n);

// The first of n values that is neither in [0, end) nor `except`. Kernels take such values as addresses.
template <typename Int>
std::optional<int64_t> find_outside(const Int* values, int64_t n, int64_t end, int64_t except);

// Releases the GIL for work above about 200 us only: taking it back from a busy Python thread costs milliseconds.
// Its scope ends before the return: an array that becomes the py::object of the result is copied, and counted.
class ReleaseGil {
 public:
  explicit ReleaseGil(double operations) {
    if (operations > 4e7) release_.emplace();
  }

 private:
  std::optional<py::gil_scoped_release> release_;
};

}  // namespace atrous
