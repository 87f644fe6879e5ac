// Memory for weights whose sizes are known only when they are there: pieces one after the other, on huge pages.
#pragma once

#include <vector>

#include "store/memory.h"

namespace lpc {

class GrowingMemory {
 public:
  explicit GrowingMemory(WeightAllocator& allocator = mapped_weights()) : allocator_(allocator) {}

  // What will be used in all, at most; said before the first open.
  void expect(size_t bytes) { expected_bytes_ = bytes; }

  // How far the memory is used.
  struct Mark {
    size_t chunk = 0;
    size_t offset = 0;
    auto operator<=>(const Mark&) const = default;
  };

  Mark mark() const { return end_; }

  // A place where the next `most_bytes` follow each other; nothing is used yet. Throws LPC_OUT_OF_MEMORY.
  uint8_t* open(size_t most_bytes);
  // Uses `bytes` (a multiple of the segments' alignment) at the place last opened.
  void use(size_t bytes);
  // Gives back what was used after `mark`.
  void rewind(Mark mark);

  size_t used_bytes() const { return used_bytes_; }

 private:
  struct Chunk {
    WeightMemory memory;
    size_t bytes;
    size_t used_before;  // what was used when it was begun
  };

  WeightAllocator& allocator_;
  std::vector<Chunk> chunks_;
  Mark end_;
  size_t used_bytes_ = 0;
  size_t expected_bytes_ = 0;
};

}  // namespace lpc
