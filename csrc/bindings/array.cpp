#include "bindings/array.h"

#include <atomic>
#include <utility>

namespace atrous {
namespace {

std::atomic<int64_t> conversions{0};

// Strides in elements of a dense array whose axes are listed from slowest to fastest.
std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape, const Axes& axes) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    strides[axes[i]] = step;
    step = checked_multiply(step, shape[axes[i]] > 0 ? shape[axes[i]] : 1);
  }
  return strides;
}

int64_t count(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (int64_t size : shape) elements = checked_multiply(elements, size);
  return elements;
}

// Whether the array is dense in this order. Strides of axes of size 1 do not matter.
bool lies_in(const NdArray& array, const Axes& axes) {
  const py::ssize_t *shape = array.shape(), *strides = array.strides();
  if (array.size() == 0) return true;
  int64_t step = array.itemsize();
  for (size_t i = axes.size(); i-- > 0;) {
    const int64_t size = shape[axes[i]];
    if (size > 1 && strides[axes[i]] != step) return false;
    if (__builtin_mul_overflow(step, size, &step)) return false;
  }
  return true;
}

std::vector<int64_t> shape_of(const NdArray& array) { return {array.shape(), array.shape() + array.ndim()}; }

Axes axes_by_stride(const NdArray& array) {
  Axes axes(static_cast<size_t>(array.ndim()), Order::c);
  const py::ssize_t* strides = array.strides();
  for (uint8_t* axis = axes.begin(); axis < axes.end(); ++axis)  // by insertion: few, and nearly sorted
    for (uint8_t* at = axis; at > axes.begin() && strides[at[-1]] < strides[*at]; --at) std::swap(at[-1], *at);
  return axes;
}

}  // namespace

template <>
py::dtype dtype_of<Float16>() {
  static const auto* found = new py::dtype("float16");  // never destroyed: Python may be gone by then
  return *found;
}

template <>
py::dtype dtype_of<BFloat16>() {
  static const auto* found = new py::dtype(py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")));
  return *found;
}

Axes::Axes(size_t ndim, Order order) : size_(ndim) {
  for (size_t i = 0; i < ndim; ++i) axes_[i] = static_cast<uint8_t>(i);
  if (order == Order::channels_last) axes_[1] = 2, axes_[2] = 3, axes_[3] = 1;
}

Axes memory_order(const py::handle& object) {
  const auto array = py::reinterpret_borrow<NdArray>(object);
  const Axes in_c(static_cast<size_t>(array.ndim()), Order::c);
  if ((array.flags() & py::array::c_style) != 0) return in_c;
  const Axes axes = axes_by_stride(array);
  return lies_in(array, axes) ? axes : in_c;
}

bool is_dense(const NdArray& array) {
  return (array.flags() & (py::array::c_style | py::array::f_style)) != 0 || lies_in(array, axes_by_stride(array));
}

template <typename T>
Array<T>::Array(const py::handle& object, const char* name, int ndim, Order order) {
  check(object, name, ndim);
  bring_into(Axes(shape_.size(), order));
}

template <typename T>
Array<T>::Array(const py::handle& object, const char* name, const Axes& axes) {
  check(object, name, static_cast<int>(axes.size()));
  bring_into(axes);
}

template <typename T>
void Array<T>::check(const py::handle& object, const char* name, int ndim) {
  if (!py::isinstance<NdArray>(object))
    throw py::type_error(std::string(name) + " is a " +
                         std::string(py::str(py::type::handle_of(object).attr("__name__"))) + "; expected a " +
                         kArrayType);
  owner_ = py::reinterpret_borrow<NdArray>(object);
  shape_ = shape_of(owner_);  // first: on a GPU all facts are asked for at once
  if (!has_dtype<T>(owner_))
    throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(owner_.dtype())) + "; expected " +
                         std::string(py::str(dtype_of<T>())));
  require(ndim < 0 || owner_.ndim() == ndim, name, " has shape ", shape_, "; expected ", ndim, " dimensions");
}

template <typename T>
void Array<T>::bring_into(const Axes& axes) {
  const auto* bytes = static_cast<const char*>(owner_.data());
  const bool aligned = reinterpret_cast<uintptr_t>(bytes) % alignof(T) == 0;
  if (aligned && lies_in(owner_, axes)) {
    data_ = static_cast<const T*>(owner_.data());
    return;
  }
  copy_ = copy_in_order(owner_, axes);
  data_ = static_cast<const T*>(copy_.get());
  conversions.fetch_add(1, std::memory_order_relaxed);
}

template <typename T>
int64_t Array<T>::elements() const {
  return count(shape_);
}

template class Array<float>;
template class Array<double>;
template class Array<Float16>;
template class Array<BFloat16>;
template class Array<int64_t>;
template class Array<int32_t>;
template class Array<uint8_t>;

NdArray empty_bytes(const py::dtype& dtype, const std::vector<int64_t>& shape, Order order) {
  return empty_bytes(dtype, shape, Axes(shape.size(), order));
}

NdArray empty_bytes(const py::dtype& dtype, const std::vector<int64_t>& shape, const Axes& axes) {
  std::vector<int64_t> strides = dense_strides(shape, axes);
  for (int64_t& stride : strides) stride = checked_multiply(stride, dtype.itemsize());
  return new_array(dtype, shape, strides);
}

int64_t byte_count(const std::vector<int64_t>& shape, int64_t itemsize) {
  return checked_multiply(count(shape), itemsize);
}

void require_shape(const std::vector<int64_t>& shape, const std::vector<int64_t>& expected, const char* name) {
  require(shape == expected, name, " has shape ", shape, "; expected ", expected);
}

int64_t layout_conversions() { return conversions.load(std::memory_order_relaxed); }

}  // namespace atrous
