// Numbers of 16 bits, which autocast makes of every weight in every step, and the mean of losses.
#include "kernels/cuda/values.h"

#include <optional>

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

// `total` is an array of one, or a number.
py::object quotient_of(const py::object& a_, const py::object& total_, const std::vector<int64_t>& shape) {
  return for_any_dtype(a_, "quotient: a", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> a(a_, "quotient: a", -1);
    std::optional<Array<T>> total;
    if (py::isinstance<NdArray>(total_)) total.emplace(total_, "quotient: total", -1);
    require(a.elements() == 1 && (!total || total->elements() == 1), "quotient: expected arrays of one element");
    NdArray y = empty<T>(shape);
    const double number = total ? 0 : total_.cast<double>();
    quotient(y.size(), a.data(), total ? total->data() : nullptr, number, mutable_data<T>(y));
    return y;
  });
}

}  // namespace

void bind_values(py::module_& m) {
  m.def("quotient", &quotient_of, "a"_a, "total"_a, "shape"_a,
        "An array full of a / total, each an array of one, or total a number: in float64, NaN where total is 0.");
  m.def("narrow", &narrow_to, "array"_a, "dtype"_a, "A float32 array as float16 or bfloat16, in its memory order.");
}

}  // namespace atrous
