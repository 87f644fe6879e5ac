// Container and decoders on arbitrary bytes. Checksums would stop nearly every mutation, so they are made right first:
// the header's always, the segments' where the table can be read. Seeds: tests/golden/good and tests/golden/malformed.
//
//   cmake -S native -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ -DLPC_BUILD_FUZZERS=ON \
//     -DLPC_SANITIZE=address,undefined,fuzzer-no-link
//   build/fuzz/fuzz/blob_fuzz CORPUS tests/golden/good tests/golden/malformed
#include <cstdint>
#include <cstring>
#include <vector>

#include "codecs/checksum.h"
#include "codecs/decode.h"
#include "codecs/layout.h"

namespace lpc {
namespace {

constexpr uint64_t kMostDecoded = 1 << 22;

void seal_header(std::vector<uint8_t>& blob) {
  if (blob.size() < kFixedHeaderBytes) return;
  const uint64_t header_bytes = load<uint32_t>(&blob[field::kHeaderBytes.offset]);
  if (header_bytes < kFixedHeaderBytes || header_bytes > blob.size()) return;
  store(&blob[field::kHeaderChecksum.offset], header_checksum(Bytes(blob).first(header_bytes)));
}

void seal_segments(std::vector<uint8_t>& blob) {
  if (blob.size() < kFixedHeaderBytes) return;
  const uint64_t count = load<uint32_t>(&blob[field::kSegmentCount.offset]);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t entry = kFixedHeaderBytes + i * kSegmentEntryBytes;
    if (entry + kSegmentEntryBytes > blob.size()) return;
    const uint64_t offset = load<uint64_t>(&blob[entry + kSegmentFields[0].offset]);
    const uint64_t bytes = load<uint64_t>(&blob[entry + kSegmentFields[1].offset]);
    if (offset > blob.size() || bytes > blob.size() - offset) return;
    store(&blob[entry + kSegmentFields[2].offset], checksum(Bytes(blob).subspan(offset, bytes)));
  }
}

void decode(const std::vector<uint8_t>& blob) {
  try {
    const BlobHeader header = parse_whole_blob(blob);
    if (header.decoded_bytes() > kMostDecoded) return;
    std::vector<uint8_t> out(header.decoded_bytes());
    decode_rows(header, blob, 0, header.rows, out, 1);
    const uint64_t middle = header.rows / 2;
    decode_rows(header, blob, middle, header.rows - middle,
                MutableBytes(out).first((header.rows - middle) * header.row_bytes), 1);
  } catch (const Error& error) {
    if (std::strlen(error.what()) == 0) __builtin_trap();  // every error says something
  }
}

}  // namespace
}  // namespace lpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> blob(data, data + size);
  lpc::decode(blob);
  lpc::seal_segments(blob);
  lpc::seal_header(blob);
  lpc::decode(blob);
  return 0;
}
