#include "store/growing_memory.h"

#include <algorithm>

namespace lpc {
namespace {

// Large beside a part, so that little of it is never used; pages that are not used take no memory, but may be counted
// (ulimit -v, vm.overcommit_memory 2), so no more than can be needed.
constexpr size_t kChunkBytes = size_t{256} << 20;

}  // namespace

uint8_t* GrowingMemory::open(size_t most_bytes) {
  if (chunks_.empty() || chunks_.back().bytes - end_.offset < most_bytes) {
    const size_t to_come = expected_bytes_ > used_bytes_ ? expected_bytes_ - used_bytes_ : 0;
    const size_t bytes = std::max(most_bytes, std::min(to_come, kChunkBytes));
    chunks_.push_back({allocator_.allocate(bytes), bytes, used_bytes_});
    end_ = {chunks_.size() - 1, 0};
  }
  return chunks_.back().memory.get() + end_.offset;
}

void GrowingMemory::use(size_t bytes) {
  end_.offset += bytes;
  used_bytes_ += bytes;
}

void GrowingMemory::rewind(Mark mark) {
  if (chunks_.empty()) return;
  chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(mark.chunk) + 1, chunks_.end());
  end_ = mark;
  used_bytes_ = chunks_.back().used_before + mark.offset;
}

}  // namespace lpc
