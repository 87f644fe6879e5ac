#include "store/ring.h"

#include "codecs/blob.h"

namespace lpc {
namespace {

size_t aligned(size_t bytes) { return (bytes + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment; }

}  // namespace

void Ring::resize(size_t bytes, size_t max_pieces) {
  clear();
  memory_ = nullptr;  // give back before taking: both together may not fit
  bytes_ = 0;
  memory_ = allocator_.allocate(bytes);
  bytes_ = bytes;
  pieces_.resize(max_pieces);
}

uint8_t* Ring::allocate(size_t bytes, size_t owner) {
  const size_t size = aligned(bytes);
  if (size > capacity() || count_ == pieces_.size()) return nullptr;
  size_t begin = 0;
  if (count_ > 0) {
    const size_t used_begin = piece(0).begin;
    const size_t used_end = piece(count_ - 1).end;
    const bool wraps = used_end <= used_begin;
    if ((wraps ? used_begin : capacity()) - used_end >= size) {
      begin = used_end;
    } else if (wraps || used_begin < size) {
      return nullptr;
    }
  }
  piece(count_++) = {begin, begin + size, owner, false};
  return memory_.get() + begin;
}

void Ring::release(const uint8_t* memory) {
  const size_t begin = static_cast<size_t>(memory - memory_.get());
  for (size_t age = 0; age < count_; ++age) {
    if (piece(age).begin != begin || piece(age).released) continue;
    piece(age).released = true;
    break;
  }
  while (count_ > 0 && piece(0).released) {
    oldest_ = (oldest_ + 1) % pieces_.size();
    --count_;
  }
}

void Ring::clear() {
  oldest_ = 0;
  count_ = 0;
}

}  // namespace lpc
