// The CPU as the bindings see it: its arrays are NumPy's, and a kernel runs on the calling thread.
// bindings/cuda/device.h says the same of a GPU; the include path decides which of the two a module is made of. What a
// device does for the bindings is declared in array.h, and defined in device.cpp beside this.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>

#include "core/cpu_features.h"  // at_level

namespace atrous {
namespace py = pybind11;

using NdArray = py::array;
inline constexpr const char* kArrayType = "numpy.ndarray";

// Whether bindings look at values before kernels take them for addresses.
inline constexpr bool kReadsValues = true;

// Whether there are kernels for numbers of 16 bits.
inline constexpr bool kHalves = false;

// The switch that lets convolutions run by faster algorithms with larger rounding errors: get_name(),
// set_name(enabled).
struct Switch {
  const char* name;
  bool at_first;
};
inline constexpr Switch kInexact{"winograd", true};

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
