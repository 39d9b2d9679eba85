// Many tensors in one launch: they are cut into chunks, and a block has one. A Tensor has its number of elements, n.
#pragma once
#include <type_traits>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/upload.h"

namespace atrous {
namespace {  // as Upload is

constexpr int64_t kChunk = 16 * kThreads;  // elements: four packs of float a thread, which hide the search for a tensor

template <typename Tensor>
struct Entry {
  Tensor tensor;
  int64_t first_chunk;  // how many chunks the tensors before it have
  bool aligned;         // all its arrays, to 16 bytes
};

template <typename Tensor>
struct Chunk {
  Tensor tensor;
  bool aligned;
  int64_t first, last;
};

// The elements of a block: of the last tensor that does not begin behind it.
template <typename Tensor>
__device__ Chunk<Tensor> chunk_of(int64_t block, int64_t count, const Entry<Tensor>* entries) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (entries[middle].first_chunk <= block ? low : high) = middle;
  }
  const Entry<Tensor>& entry = entries[low];
  const int64_t first = (block - entry.first_chunk) * kChunk, n = entry.tensor.n;
  return {entry.tensor, entry.aligned, first, first + kChunk < n ? first + kChunk : n};
}

template <typename T, int n>
__device__ inline void store_back(T* to, const Pack<T, n>& pack) {
  store_pack(to, pack);
}
template <typename T, int n>
__device__ inline void store_back(const T*, const Pack<T, n>&) {}

// step(elements...) for n elements of each array.
template <int n, typename Step, typename... T>
__device__ inline void update_pack(const Step& step, T*... arrays) {
  [&](Pack<std::remove_const_t<T>, n>... values) {
    for (int i = 0; i < n; ++i) step(values.v[i]...);
    (store_back(arrays, values), ...);
  }(load_pack<n>(arrays)...);
}

// Elements [first, last), by the threads of a block; arrays that are not const are written.
template <typename Step, typename T, typename... Others>
__device__ void update(bool aligned, int64_t first, int64_t last, const Step& step, T* array, Others*... others) {
  constexpr int n = 16 / sizeof(T);
  const int64_t packed = aligned ? first + (last - first) / n * n : first;
  for (int64_t i = first + threadIdx.x * n; i < packed; i += kThreads * n)
    update_pack<n>(step, array + i, (others + i)...);
  for (int64_t i = packed + threadIdx.x; i < last; i += kThreads) update_pack<1>(step, array + i, (others + i)...);
}

// The table of tensors on the GPU, for chunk_of. It is small, and a search in it cheap, where a table of chunks would
// have to be copied for every call.
template <typename Tensor>
class Chunks {
 public:
  template <typename IsAligned>
  Chunks(int64_t count, const Tensor* tensors, IsAligned is_aligned) {
    std::vector<Entry<Tensor>> entries;
    int64_t chunks = 0;
    for (int64_t t = 0; t < count; ++t)
      if (tensors[t].n > 0) {
        entries.push_back({tensors[t], chunks, is_aligned(tensors[t])});
        chunks += divide_up(tensors[t].n, kChunk);
      }
    tensors_ = static_cast<int64_t>(entries.size()), count_ = static_cast<unsigned>(chunks);
    if (chunks == 0) return;
    table_ = upload_.add(entries.data(), tensors_);
    upload_.send();
  }

  unsigned count() const { return count_; }     // a launch's blocks
  int64_t tensors() const { return tensors_; }  // those that have elements
  const Entry<Tensor>* entries() const { return count_ == 0 ? nullptr : upload_.at<Entry<Tensor>>(table_); }

 private:
  Upload upload_;
  size_t table_ = 0;
  int64_t tensors_ = 0;
  unsigned count_ = 0;
};

}  // namespace
}  // namespace atrous
