// A ring of memory that hands out contiguous pieces in order and takes them back in any order.
//
// Space returns to the ring when everything handed out before it has come back too: exactly the life of weights that
// are used in a fixed order. Not locked; the layer store holds its own lock around every call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "store/memory.h"

namespace lpc {

class Ring {
 public:
  explicit Ring(WeightAllocator& allocator = mapped_weights()) : allocator_(allocator) {}

  // Replaces the memory by `bytes` bytes for at most `max_pieces` pieces at a time. Nothing may be handed out.
  // Throws LPC_OUT_OF_MEMORY. The other calls allocate nothing.
  void resize(size_t bytes, size_t max_pieces);

  // A piece of `bytes` bytes for `owner`, 64-byte aligned, or nullptr when there is no room now. `bytes` at least 1.
  uint8_t* allocate(size_t bytes, size_t owner);

  // Takes a piece back.
  void release(const uint8_t* memory);

  // Takes everything back.
  void clear();

  size_t capacity() const { return bytes_; }

  // The owner of the oldest piece that is not taken back and for which condition(owner); kNobody if there is none.
  template <typename Condition>
  size_t oldest_owner(Condition&& condition) const {
    for (size_t age = 0; age < count_; ++age) {
      const Piece& piece = pieces_[(oldest_ + age) % pieces_.size()];
      if (!piece.released && condition(piece.owner)) return piece.owner;
    }
    return kNobody;
  }
  static constexpr size_t kNobody = SIZE_MAX;

 private:
  struct Piece {
    size_t begin;  // in the memory
    size_t end;    // aligned up
    size_t owner;
    bool released;
  };

  Piece& piece(size_t age) { return pieces_[(oldest_ + age) % pieces_.size()]; }

  WeightAllocator& allocator_;
  WeightMemory memory_;
  size_t bytes_ = 0;
  std::vector<Piece> pieces_;  // circular, in order of allocation
  size_t oldest_ = 0;
  size_t count_ = 0;
};

}  // namespace lpc
