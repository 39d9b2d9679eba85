// What clipping of gradients (python/atrous/nn/utils/clip_grad.py) asks of a GPU.
#include "kernels/cuda/clip.h"

#include "bindings/array.h"

namespace atrous {
namespace {

using namespace py::literals;

// The memory of dense arrays, in the order of their indices; T may be const.
template <typename T>
std::vector<Values<T>> values_of(const std::vector<NdArray>& arrays, const char* function) {
  std::vector<Values<T>> found;
  for (auto array : arrays) {
    if (!has_dtype<std::remove_const_t<T>>(array))
      throw py::type_error(std::string(function) + ": an array has dtype " + std::string(py::str(array.dtype())) +
                           "; expected one for all, of float32 or float64");
    require(is_dense(array), function, ": an array has gaps or repeats in memory");
    require(reinterpret_cast<uintptr_t>(array.data()) % alignof(T) == 0, function, ": an array is not aligned");
    found.push_back({array.size(), static_cast<T*>(array.mutable_data())});
  }
  return found;
}

NdArray norm_of(const std::vector<NdArray>& arrays) {
  const auto tensors = values_of<const float>(arrays, "norm_of");
  NdArray norm = empty<float>({});
  square_root_of_squares(static_cast<int64_t>(tensors.size()), tensors.data(), mutable_data<float>(norm));
  return norm;
}

void scale(const std::vector<NdArray>& arrays, const py::object& factor_) {
  for_dtype(factor_, "scale: factor", [&](auto zero) -> py::object {
    using T = decltype(zero);
    const Array<T> factor(factor_, "scale: factor", 0);
    const auto tensors = values_of<T>(arrays, "scale");
    scale_values(static_cast<int64_t>(tensors.size()), tensors.data(), factor.data());
    return py::none();
  });
}

}  // namespace

void bind_clip(py::module_& m) {
  m.def("norm_of", &norm_of, "arrays"_a, "The 2-norm of dense float32 arrays as of one long vector, of shape ().");
  m.def("scale", &scale, "arrays"_a, "factor"_a,
        "Multiplies dense arrays in place by an array of shape (), of their dtype; no two may share memory.");
}

}  // namespace atrous
