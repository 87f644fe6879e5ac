#include "codecs/decode.h"

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "codecs/layout.h"

namespace lpc {
namespace {

// Not initialised: it is written before it is read.
class Scratch {
 public:
  MutableBytes get(size_t bytes) {
    if (bytes > bytes_) {
      memory_.reset(new uint8_t[bytes]);
      bytes_ = bytes;
    }
    return {memory_.get(), bytes};
  }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  size_t bytes_ = 0;
};

struct Rows {
  uint64_t begin;
  uint64_t end;
};

// The part of `wanted` that lies in one segment, decoded to its place in `out`.
void decode_part(const BlobHeader& header, Bytes blob, size_t index, Rows wanted, MutableBytes out, Scratch& scratch) {
  const Segment& segment = header.segments[index];
  const Bytes stored = blob.subspan(segment.offset, segment.bytes);
  const uint64_t first = header.segment_first_row(index);
  const uint64_t decoded_bytes = header.segment_decoded_bytes(index);
  const Rows part{std::max(wanted.begin, first), std::min(wanted.end, first + header.segment_rows(index))};
  const uint64_t skip = (part.begin - first) * header.row_bytes;
  const MutableBytes to =
      out.subspan((part.begin - wanted.begin) * header.row_bytes, (part.end - part.begin) * header.row_bytes);
  if (segment.encoding == Encoding::kRaw) {
    verify_segment(header, index, stored);
    std::memcpy(to.data(), stored.data() + skip, to.size());
    return;
  }
  const size_t scratch_bytes = segment_scratch_bytes(header);
  if (to.size() == decoded_bytes) {
    decode_verified(header, index, stored, to, scratch.get(scratch_bytes));
    return;
  }
  const MutableBytes both = scratch.get(scratch_bytes + decoded_bytes);
  const MutableBytes whole = both.subspan(scratch_bytes);
  decode_verified(header, index, stored, whole, both.first(scratch_bytes));
  std::memcpy(to.data(), whole.data() + skip, to.size());
}

}  // namespace

BlobHeader parse_whole_blob(Bytes blob) {
  BlobHeader header = parse_blob_header(blob, blob.size());
  if (header.blob_bytes != blob.size()) {
    throw_malformed(field::kBlobBytes, header.blob_bytes,
                    std::to_string(blob.size()) + ", the size of the buffer (trailing data)");
  }
  return header;
}

void decode_rows(const BlobHeader& header, Bytes blob, uint64_t first_row, uint64_t row_count, MutableBytes out,
                 unsigned threads) {
  if (out.empty()) return;
  const Rows wanted{first_row, first_row + row_count};
  const size_t first_segment = wanted.begin / header.rows_per_segment;
  const size_t count = ceil_div(wanted.end, header.rows_per_segment) - first_segment;
  std::vector<Scratch> scratch(effective_threads(count, threads));
  parallel_for_workers(count, threads, [&](size_t i, unsigned worker) {
    decode_part(header, blob, first_segment + i, wanted, out, scratch[worker]);
  });
}

}  // namespace lpc
