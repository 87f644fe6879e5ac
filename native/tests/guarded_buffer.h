// Memory between two pages that cannot be touched: an access one byte outside ends the test program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace lpc::test {

class GuardedBuffer {
 public:
  enum class At { kStart, kEnd };  // which of its ends touches a forbidden page

  GuardedBuffer(size_t bytes, At at) : bytes_(bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + page - 1) / page * page;
    mapped_bytes_ = inner + 2 * page;
    void* mapped = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapped_ = static_cast<uint8_t*>(mapped);
    if (inner != 0 && mprotect(mapped_ + page, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = at == At::kStart ? mapped_ + page : mapped_ + page + inner - bytes;
  }
  ~GuardedBuffer() { munmap(mapped_, mapped_bytes_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  uint8_t* data() { return data_; }
  size_t size() const { return bytes_; }
  std::span<uint8_t> span() { return {data_, bytes_}; }

 private:
  size_t bytes_;
  size_t mapped_bytes_;
  uint8_t* mapped_;
  uint8_t* data_;
};

inline constexpr GuardedBuffer::At kBothEnds[] = {GuardedBuffer::At::kStart, GuardedBuffer::At::kEnd};

}  // namespace lpc::test
