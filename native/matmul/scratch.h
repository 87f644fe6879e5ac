// Memory that a thread keeps between products: it grows to the largest size asked for and is not initialised.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace lpc {

class Scratch {
 public:
  // Room for `count` elements at a multiple of 64 bytes; what it held before may be lost.
  template <typename Element>
  Element* get(size_t count) {
    const size_t bytes = count * sizeof(Element);
    if (bytes > bytes_) {
      memory_.reset();
      memory_.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
      bytes_ = bytes;
    }
    return reinterpret_cast<Element*>(memory_.get());
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, kAlignment); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  size_t bytes_ = 0;
};

// Few rows of activations are multiplied one after another by the kernels for one row: a run's weights come from memory
// for the first of them and from the second-level cache for the others. More rows share widened weights.
inline constexpr size_t kFewRows = 5;

// x[m, k] as the single-row kernels take it (DotKernels::arrange), rows arranged_columns(k) apart, in memory of the
// calling thread until its next call.
const float* arranged(const float* x, size_t m, size_t k);
size_t arranged_columns(size_t k);

}  // namespace lpc
