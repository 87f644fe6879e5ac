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
  // Replaces the memory by `bytes` bytes for at most `max_pieces` pieces at a time. Nothing may be handed out.
  // Throws LPC_OUT_OF_MEMORY. The other calls allocate nothing.
  void resize(size_t bytes, size_t max_pieces);

  // A piece of `bytes` bytes, 64-byte aligned, or nullptr when there is no room now. `bytes` at least 1.
  uint8_t* allocate(size_t bytes);

  // Takes a piece back.
  void release(const uint8_t* memory);

  // Takes everything back.
  void clear();

  size_t capacity() const { return memory_.size(); }

 private:
  struct Piece {
    size_t begin;  // in the memory
    size_t end;    // aligned up
    bool released;
  };

  Piece& piece(size_t age) { return pieces_[(oldest_ + age) % pieces_.size()]; }

  MappedMemory memory_;
  std::vector<Piece> pieces_;  // circular, in order of allocation
  size_t oldest_ = 0;
  size_t count_ = 0;
};

}  // namespace lpc
