// The walk over the segments that a matrix in its stored form is made of.
#pragma once

#include <string>

#include "base/error.h"
#include "matmul/matrix.h"

namespace lpc {

// Calls visit(index, bytes) for each segment. Throws LPC_INVALID_ARGUMENT if the bytes end before one does.
template <typename Visit>
void for_each_segment(const MatrixSource& source, const Visit& visit) {
  const auto& segments = source.header.segments;
  const uint64_t base = segments.at(source.first_segment).offset;
  for (size_t i = source.first_segment; i < source.first_segment + source.segment_count; ++i) {
    const Segment& segment = segments.at(i);
    const uint64_t begin = segment.offset - base;
    if (begin > source.bytes.size() || segment.bytes > source.bytes.size() - begin) {
      throw Error(LPC_INVALID_ARGUMENT, "matrix: got " + std::to_string(source.bytes.size()) +
                                            " bytes, which end before segment " + std::to_string(i));
    }
    visit(i, source.bytes.subspan(begin, segment.bytes));
  }
}

// Whether a blob is a matrix of bf16 with something to multiply.
inline bool is_bf16_matrix(const BlobHeader& header) {
  return header.tensor.dtype == LPC_DTYPE_BF16 && header.tensor.rank == 2 && !header.segments.empty();
}

// The same place after `base` has moved to `to`; null stays null.
inline const uint8_t* moved(const uint8_t* place, const uint8_t* base, const uint8_t* to) {
  return place == nullptr ? nullptr : to + (place - base);
}

}  // namespace lpc
