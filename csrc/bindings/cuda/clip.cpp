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

template <typename T, typename N>
void scale_by(const std::vector<NdArray>& arrays, const Array<N>& norm, double max_norm) {
  const auto tensors = values_of<T>(arrays, "scale");
  scale_values(static_cast<int64_t>(tensors.size()), tensors.data(), norm.data(), max_norm);
}

void scale(const std::vector<NdArray>& arrays, const py::object& norm_, double max_norm) {
  const bool wide = !arrays.empty() && has_dtype<double>(arrays[0]);
  for_dtype(norm_, "scale: norm", [&](auto zero) -> py::object {
    using N = decltype(zero);
    const Array<N> norm(norm_, "scale: norm", 0);
    wide ? scale_by<double>(arrays, norm, max_norm) : scale_by<float>(arrays, norm, max_norm);
    return py::none();
  });
}

}  // namespace

void bind_clip(py::module_& m) {
  m.def("norm_of", &norm_of, "arrays"_a, "The 2-norm of dense float32 arrays as of one long vector, of shape ().");
  m.def("scale", &scale, "arrays"_a, "norm"_a, "max_norm"_a,
        "Multiplies dense arrays of one dtype in place by min(1, max_norm / (norm + 1e-6)), norm an array of shape (); "
        "no two may share memory.");
}

}  // namespace atrous
