#include "store/memory.h"

#include <sys/mman.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace lpc {
namespace {

constexpr size_t kPage = 4096;

constexpr size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// What is mapped for `bytes`: the last page is a huge one too, where that adds little (a product of 23 MB read 2 to 3 %
// faster with it).
constexpr size_t mapped_bytes(size_t bytes) {
  const size_t whole = round_up(bytes, kHugePage);
  return whole - bytes <= bytes / 16 ? whole : round_up(bytes, kPage);
}

class MappedWeights final : public WeightAllocator {
 public:
  WeightMemory allocate(size_t bytes) override {
    auto memory = std::make_shared<MappedMemory>(bytes);
    return {memory, memory->data()};
  }
};

}  // namespace

WeightAllocator& mapped_weights() {
  static MappedWeights allocator;
  return allocator;
}

MappedMemory::MappedMemory(size_t bytes) {
  if (bytes == 0) return;
  const size_t spare = bytes >= kHugePage ? kHugePage : 0;
  const size_t mapped = mapped_bytes(bytes);
  void* memory = mmap(nullptr, mapped + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(LPC_OUT_OF_MEMORY, "cannot map " + std::to_string(bytes) + " bytes for weights");
  }
  data_ = static_cast<uint8_t*>(memory);
  size_ = bytes;
  if (spare != 0) cut_to_huge_page_boundary(spare);
  madvise(data_, mapped, MADV_HUGEPAGE);  // a hint: refused on some kernels, and then small pages serve
}

// Gives back what lies before the first boundary, and as much behind the memory as is left of `spare`.
void MappedMemory::cut_to_huge_page_boundary(size_t spare) {
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(data_) % kHugePage) % kHugePage;
  if (before > 0) munmap(data_, before);
  data_ += before;
  const size_t end = mapped_bytes(size_);
  if (spare - before > 0) munmap(data_ + end, spare - before);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) munmap(data_, mapped_bytes(size_));
}

}  // namespace lpc
