// The memory that weights are in when products are computed from them, and who gives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace lpc {

inline constexpr size_t kHugePage = size_t{2} << 20;  // bytes

// What to map for `bytes` of weights: whole huge pages, unless most of one would be wasted.
constexpr size_t whole_huge_pages(size_t bytes) {
  return bytes > kHugePage / 4 ? (bytes + kHugePage - 1) / kHugePage * kHugePage : bytes;
}

// Large anonymous memory on huge pages where the system grants them: from 2 MiB on it begins where one can begin, and
// takes up to a sixteenth more to end where one ends.
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

// Memory from an allocator; goes back to it with the last owner.
using WeightMemory = std::shared_ptr<uint8_t[]>;

// Where the ring, kept weights and transcoded weights get their memory. A backend that computes elsewhere than the CPU
// has one of its own; the store's threads write into what it gives.
class WeightAllocator {
 public:
  virtual ~WeightAllocator() = default;
  // At least `bytes` bytes, 64-byte aligned; null for none. Throws LPC_OUT_OF_MEMORY. Any thread.
  virtual WeightMemory allocate(size_t bytes) = 0;
};

// Gives MappedMemory; lives as long as the process.
WeightAllocator& mapped_weights();

}  // namespace lpc
