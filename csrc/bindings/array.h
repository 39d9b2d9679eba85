// From Python arrays to checked pointers, and outputs in pool memory. Every array that a kernel sees went through here.
// What differs between NumPy's arrays and a GPU's is in device.h, of which there is one for each extension module.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/half.h"
#include "core/memory.h"
#include "device.h"

namespace atrous {
using Pair = std::array<int64_t, 2>;  // (height, width)

// How the elements of an array argument must lie in memory.
enum class Order {
  c,              // last axis fastest
  channels_last,  // 4-D, NCHW shape: N, H, W, C from slowest to fastest; weights OIHW lie as O, H, W, I
};

// The axes of an array, from slowest to fastest in memory. NumPy's limit is 64.
class Axes {
 public:
  Axes() = default;
  Axes(size_t ndim, Order order);
  size_t size() const { return size_; }
  uint8_t operator[](size_t i) const { return axes_[i]; }
  const uint8_t* begin() const { return axes_; }
  const uint8_t* end() const { return axes_ + size_; }
  uint8_t* begin() { return axes_; }
  uint8_t* end() { return axes_ + size_; }

 private:
  uint8_t axes_[64];
  size_t size_ = 0;
};

// Of an array that is dense in any axis order; those of Order::c where it has gaps or repeats.
Axes memory_order(const py::handle& array);
bool is_dense(const NdArray& array);  // in some axis order

// What NumPy calls a kind of number; bfloat16 is the package ml_dtypes'.
template <typename T>
py::dtype dtype_of() {
  return py::dtype::of<T>();
}
template <>
py::dtype dtype_of<Float16>();
template <>
py::dtype dtype_of<BFloat16>();

template <typename T>
bool is_dtype(const py::dtype& dtype) {
  if (dtype.itemsize() != sizeof(T)) return false;  // soon: equal() is slow
  if constexpr (std::is_same_v<T, BFloat16>)
    if (dtype.kind() != 'V') return false;  // and ml_dtypes need not be there
  const auto expected = dtype_of<T>();
  return dtype.is(expected) || dtype.equal(expected);
}

template <typename T>
bool has_dtype(const NdArray& array) {
  return is_dtype<T>(array.dtype());
}

// A read-only argument. Where its memory is not in the order asked for it is copied once, into pool memory.
template <typename T>
class Array {
 public:
  // name is "function: argument", for messages. ndim -1 takes any.
  Array(const py::handle& object, const char* name, int ndim, Order order = Order::c);
  // In the memory order of another array with as many dimensions.
  Array(const py::handle& object, const char* name, const Axes& axes);

  const T* data() const { return data_; }
  int64_t size(int axis) const { return shape_[static_cast<size_t>(axis)]; }
  int ndim() const { return static_cast<int>(shape_.size()); }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t elements() const;

 private:
  void check(const py::handle& object, const char* name, int ndim);
  void bring_into(const Axes& axes);

  NdArray owner_;
  std::shared_ptr<void> copy_;  // set when the memory order had to change
  std::vector<int64_t> shape_;
  const T* data_ = nullptr;
};

// A bias, a class weight, ...: nullptr for None, else a 1-D array of exactly `size` elements.
template <typename T>
class OptionalVector {
 public:
  OptionalVector(const py::handle& object, const char* name, int64_t size);
  const T* data() const { return array_ ? array_->data() : nullptr; }

 private:
  std::optional<Array<T>> array_;
};

// New arrays in pool memory; it returns to the pool when the last view of it dies.
NdArray empty_bytes(const py::dtype& dtype, const std::vector<int64_t>& shape, Order order);
NdArray empty_bytes(const py::dtype& dtype, const std::vector<int64_t>& shape, const Axes& axes);

template <typename T>
NdArray empty(const std::vector<int64_t>& shape, Order order = Order::c) {
  return empty_bytes(dtype_of<T>(), shape, order);
}

template <typename T>
NdArray empty(const std::vector<int64_t>& shape, const Axes& axes) {
  return empty_bytes(dtype_of<T>(), shape, axes);
}

template <typename T>
T* mutable_data(NdArray& array) {
  return static_cast<T*>(array.mutable_data());
}

// What a device does, in device.cpp of each:

// A new array in the device's pool. Strides are in bytes.
NdArray new_array(const py::dtype& dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides);

// The elements of an array of any strides, copied into dense memory with these axes from slowest to fastest.
std::shared_ptr<void> copy_in_order(const NdArray& array, const Axes& axes);

// n float32 values in float64.
std::shared_ptr<double> widened(const float* values, int64_t n);

// The first of n values that is neither in [0, end) nor `except`: kernels take such values as addresses. On a GPU it
// waits until all that came before is done.
template <typename Int>
std::optional<int64_t> find_outside(const Int* values, int64_t n, int64_t end, int64_t except);

void require_shape(const std::vector<int64_t>& shape, const std::vector<int64_t>& expected, const char* name);

// Calls f(float{}) or f(double{}) by the dtype of the argument that decides; TypeError for any other.
template <typename F>
py::object for_dtype(const py::handle& object, const char* name, F&& f, const char* expected = "float32 or float64") {
  if (py::isinstance<NdArray>(object)) {
    const auto array = py::reinterpret_borrow<NdArray>(object);
    if (has_dtype<float>(array)) return f(float{});
    if (has_dtype<double>(array)) return f(double{});
    throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(array.dtype())) + "; expected " +
                         expected);
  }
  throw py::type_error(std::string(name) + " is a " +
                       std::string(py::str(py::type::handle_of(object).attr("__name__"))) + "; expected a " +
                       kArrayType);
}

// The same for functions whose kernels take numbers of 16 bits, too, on a device that has such kernels: f(BFloat16{})
// and f(Float16{}).
template <typename F>
py::object for_any_dtype(const py::handle& object, const char* name, F&& f) {
  if constexpr (kHalves) {
    if (py::isinstance<NdArray>(object)) {
      const auto array = py::reinterpret_borrow<NdArray>(object);
      if (has_dtype<BFloat16>(array)) return f(BFloat16{});
      if (has_dtype<Float16>(array)) return f(Float16{});
    }
    return for_dtype(object, name, f, "float32, float64, float16 or bfloat16");
  } else {
    return for_dtype(object, name, f);
  }
}

// Bytes that a memory-bound kernel moves, in the operations of ReleaseGil.
inline double bytes_moved(double bytes) { return 8 * bytes; }

int64_t byte_count(const std::vector<int64_t>& shape, int64_t itemsize);

int64_t layout_conversions();  // copies made by Array because of an argument's order

extern template class Array<float>;
extern template class Array<double>;
extern template class Array<Float16>;
extern template class Array<BFloat16>;
extern template class Array<int64_t>;
extern template class Array<int32_t>;
extern template class Array<uint8_t>;

template <typename T>
OptionalVector<T>::OptionalVector(const py::handle& object, const char* name, int64_t size) {
  if (object.is_none()) return;
  array_.emplace(object, name, 1);
  require_shape(array_->shape(), {size}, name);
}

}  // namespace atrous
