// Large anonymous memory on huge pages where the system grants them: from 2 MiB on it begins where one can begin, and
// takes up to a sixteenth more to end where one ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

inline constexpr size_t kHugePage = size_t{2} << 20;  // bytes

// What to map for `bytes` of weights: whole huge pages, unless most of one would be wasted.
constexpr size_t whole_huge_pages(size_t bytes) {
  return bytes > kHugePage / 4 ? (bytes + kHugePage - 1) / kHugePage * kHugePage : bytes;
}

class MappedMemory {
 public:
  MappedMemory() = default;
  // Throws LPC_OUT_OF_MEMORY. Pages are taken when they are first touched.
  explicit MappedMemory(size_t bytes);
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;
  ~MappedMemory();

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void cut_to_huge_page_boundary(size_t spare);

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lpc
