// Numbers of 16 bits, which autocast makes of every weight in every step.
#include "kernels/cuda/values.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

template <typename T>
NdArray narrowed(const py::object& array) {
  const Axes axes = memory_order(array);
  const Array<float> values(array, "narrow: array", axes);
  NdArray halves = empty<T>(values.shape(), axes);
  narrow(values.elements(), values.data(), mutable_data<T>(halves));
  return halves;
}

NdArray narrow_to(const py::object& array, const py::dtype& dtype) {
  return is_dtype<BFloat16>(dtype) ? narrowed<BFloat16>(array) : narrowed<Float16>(array);
}

}  // namespace

void bind_values(py::module_& m) {
  m.def("narrow", &narrow_to, "array"_a, "dtype"_a, "A float32 array as float16 or bfloat16, in its memory order.");
}

}  // namespace atrous
