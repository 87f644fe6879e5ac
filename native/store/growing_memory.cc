#include "store/growing_memory.h"

#include <algorithm>

namespace lpc {
namespace {

// Large beside a part, so that little of it is never used; pages that are not used take no memory, but may be counted
// (ulimit -v, vm.overcommit_memory 2), so no more than can be needed.
constexpr size_t kChunkBytes = size_t{256} << 20;

}  // namespace

uint8_t* GrowingMemory::open(size_t most_bytes) {
  if (chunks_.empty() || chunks_.back().size() - end_.offset < most_bytes) {
    const size_t to_come = expected_bytes_ > used_bytes_ ? expected_bytes_ - used_bytes_ : 0;
    chunks_.emplace_back(std::max(most_bytes, std::min(to_come, kChunkBytes)));
    used_before_.push_back(used_bytes_);
    end_ = {chunks_.size() - 1, 0};
  }
  return chunks_.back().data() + end_.offset;
}

void GrowingMemory::use(size_t bytes) {
  end_.offset += bytes;
  used_bytes_ += bytes;
}

void GrowingMemory::rewind(Mark mark) {
  if (chunks_.empty()) return;
  chunks_.resize(mark.chunk + 1);
  used_before_.resize(mark.chunk + 1);
  end_ = mark;
  used_bytes_ = used_before_.back() + mark.offset;
}

}  // namespace lpc
