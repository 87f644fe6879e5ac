// What running takes beside weights and texts, and what is kept free for others: the numbers that the store, the
// provider's own placement and, through lpc_get_memory_figures, all plans go by.
#pragma once

#include "codecs/encode.h"
#include "store/memory.h"

namespace lpc {

// What is decoded and multiplied in one piece, at most, unless a segment is larger: small enough that computing begins
// early and that a ring of a few parts is small, large enough that its overhead is not felt.
inline constexpr uint64_t kPartBytes = uint64_t{16} << 20;
// What a part takes more than its bytes: its segments begin at multiples of 64.
inline constexpr uint64_t kPartPadding = uint64_t{16} << 10;
// One part is multiplied while the next one arrives; a third, because a part cannot be cut where the ring ends.
inline constexpr uint64_t kLeastRingParts = 3;
// Where a thread reads a segment to.
inline constexpr uint64_t kReadBufferBytes = kHugePage;
// Reading threads beyond those that decode: workers wait for the bus in turn, and so many more keep it busy.
inline constexpr unsigned kReadAheadThreads = 2;
// The largest segment of a table whose rows are read one by one (docs/format.md, section 5).
inline constexpr uint64_t kRowSegmentBytes = uint64_t{256} << 10;
// Keys, values and activations of a text, where nobody says how long texts will be.
inline constexpr uint64_t kTextBytes = uint64_t{204} << 20;
// Interpreter, onnxruntime, graph and stacks.
inline constexpr uint64_t kProcessBytes = uint64_t{96} << 20;
// Left to the rest of the system where nobody states a budget.
inline constexpr uint64_t kReserveBytes = uint64_t{256} << 20;

// What a bf16 matrix takes that is kept in the packed layout of any machine, at most; `stored_bytes` is its blob in the
// file.
uint64_t transcoded_bytes_bound(const lpc_tensor_desc& tensor, uint64_t stored_bytes);

}  // namespace lpc
