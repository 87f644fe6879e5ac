#include "fuzz/targets.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "codecs/checksum.h"
#include "codecs/codec.h"
#include "codecs/decode.h"
#include "codecs/layout.h"
#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "codecs/transcode.h"
#include "simd/isa.h"

namespace lpc::fuzz {
namespace {

constexpr uint64_t kMostDecoded = uint64_t{1} << 20;
constexpr size_t kCaseHeaderBytes = 16;

// Memory of exactly this size, so that the address sanitizer sees one byte beyond.
class Exact {
 public:
  explicit Exact(size_t bytes, uint8_t value = 0) : bytes_(bytes), memory_(new uint8_t[bytes]) {
    std::fill_n(memory_.get(), bytes, value);
  }
  explicit Exact(Bytes from) : bytes_(from.size()), memory_(new uint8_t[from.size()]) {
    std::copy(from.begin(), from.end(), memory_.get());
  }
  MutableBytes span() { return {memory_.get(), bytes_}; }

 private:
  size_t bytes_;
  std::unique_ptr<uint8_t[]> memory_;
};

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// Whether `body` throws no error; an error that says nothing is a finding.
template <typename Body>
bool succeeds(Body&& body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    require(std::strlen(error.what()) > 0);
    return false;
  }
}

void seal_header(MutableBytes blob) {
  if (blob.size() < kFixedHeaderBytes) return;
  const uint64_t header_bytes = load<uint32_t>(&blob[field::kHeaderBytes.offset]);
  if (header_bytes < kFixedHeaderBytes || header_bytes > blob.size()) return;
  store(&blob[field::kHeaderChecksum.offset], header_checksum(blob.first(header_bytes)));
}

void seal_segments(MutableBytes blob) {
  if (blob.size() < kFixedHeaderBytes) return;
  const uint64_t count = load<uint32_t>(&blob[field::kSegmentCount.offset]);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t entry = kFixedHeaderBytes + i * kSegmentEntryBytes;
    if (entry + kSegmentEntryBytes > blob.size()) return;
    const uint64_t offset = load<uint64_t>(&blob[entry + kSegmentFields[0].offset]);
    const uint64_t bytes = load<uint64_t>(&blob[entry + kSegmentFields[1].offset]);
    if (offset > blob.size() || bytes > blob.size() - offset) return;
    store(&blob[entry + kSegmentFields[2].offset], checksum(blob.subspan(offset, bytes)));
  }
}

void decode_and_transcode(Bytes blob) {
  const BlobHeader header = parse_whole_blob(blob);
  if (header.decoded_bytes() > kMostDecoded) return;
  Exact out(header.decoded_bytes());
  decode_rows(header, blob, 0, header.rows, out.span(), 1);
  const uint64_t middle = header.rows / 2;
  Exact half((header.rows - middle) * header.row_bytes);
  decode_rows(header, blob, middle, header.rows - middle, half.span(), 1);
  require(std::equal(half.span().begin(), half.span().end(),
                     out.span().begin() + static_cast<ptrdiff_t>(middle * header.row_bytes)));
  lpc_encode_options options{};
  options.struct_bytes = sizeof options;
  options.codec = header.codec == LPC_CODEC_PACKED ? LPC_CODEC_LZ4 : LPC_CODEC_PACKED;
  options.threads = 1;
  const uint64_t bound = transcode_bound(header, options);
  if (bound > 4 * kMostDecoded) return;
  Exact other(bound);
  const uint64_t size = transcode_blob(header, blob, options, other.span());
  const Bytes transcoded = other.span().first(size);
  Exact again(header.decoded_bytes());
  decode_rows(parse_whole_blob(transcoded), transcoded, 0, header.rows, again.span(), 1);
  require(std::equal(again.span().begin(), again.span().end(), out.span().begin()));
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vbmi2, Isa::kNeon}) {
    if (isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

struct Case {
  SegmentShape shape;
  lpc_tensor_desc tensor{};
  Isa isa = Isa::kScalar;
  Bytes params, stored;
};

bool read_case(Bytes input, Case& to) {
  static const std::vector<Isa> isas = supported_isas();
  if (input.size() < kCaseHeaderBytes) return false;
  to.shape.dtype = LPC_DTYPE_BF16 + (input[0] + 6u) % 7;  // 1 to 7 stand for themselves
  to.isa = isas[input[1] % isas.size()];
  const Bytes rest = input.subspan(kCaseHeaderBytes);
  const size_t params_bytes = std::min<size_t>(load<uint16_t>(&input[2]), rest.size());
  to.shape.rows = load<uint32_t>(&input[4]) % 4096;
  const uint64_t columns = load<uint32_t>(&input[8]) % 65536;
  to.shape.row_bytes = columns * dtype_bytes(to.shape.dtype);
  to.tensor = {to.shape.dtype, 2, {to.shape.rows, columns, 0, 0}};
  to.params = rest.first(params_bytes);
  to.stored = rest.subspan(params_bytes);
  return to.shape.bytes() > 0 && to.shape.bytes() <= kMostDecoded;
}

// Products read packed segments by themselves; they report nothing, but stay within the bytes.
void multiply(const Case& segment, Bytes params, Bytes stored) {
  const PackedTables tables = packed::read_tables(params);
  const PackedRows rows = packed::open_segment(tables, segment.shape, stored);
  const std::vector<float> x(64 * packed_groups(rows.order.columns) + 64, 1.0f);
  std::vector<float> y(segment.shape.rows);
  const PackedRun run{rows, 0, segment.shape.rows};
  packed_kernels().dot(tables, run, {4096, &run}, x.data(), y.data());
}

bool decode_with(Isa isa, const Codec& codec, const Case& segment, Bytes params, Bytes stored, MutableBytes out) {
  use_isa(isa);
  Exact scratch(codec.decode_scratch_bytes(segment.shape), 0xA5);
  return succeeds([&] { codec.decode(segment.shape, params, stored, out, scratch.span()); });
}

}  // namespace

void run_container(Bytes bytes, int codec) {
  Exact blob(bytes);
  if (codec >= 0 && bytes.size() > field::kCodec.offset) {
    blob.span()[field::kCodec.offset] = static_cast<uint8_t>(codec);
  }
  succeeds([&] { decode_and_transcode(blob.span()); });
  seal_segments(blob.span());
  seal_header(blob.span());
  succeeds([&] { decode_and_transcode(blob.span()); });
}

void run_segment(uint32_t id, Bytes input) {
  Case segment;
  if (!read_case(input, segment)) return;
  const Codec& codec = get_codec(id);
  Exact params(segment.params), stored(segment.stored);
  if (!succeeds([&] { codec.check_params(segment.tensor, params.span()); })) return;
  if (stored.span().size() < codec.min_stored_bytes(segment.shape)) return;  // the container has seen to it
  Exact out(segment.shape.bytes(), 0x5A), reference(segment.shape.bytes(), 0xC3);
  const bool decoded = decode_with(segment.isa, codec, segment, params.span(), stored.span(), out.span());
  require(decoded == decode_with(Isa::kScalar, codec, segment, params.span(), stored.span(), reference.span()));
  if (decoded) require(std::equal(out.span().begin(), out.span().end(), reference.span().begin()));
  if (id != LPC_CODEC_PACKED || segment.shape.dtype != LPC_DTYPE_BF16) return;
  use_isa(segment.isa);
  succeeds([&] { multiply(segment, params.span(), stored.span()); });
}

std::vector<std::pair<uint32_t, std::vector<uint8_t>>> cases_of(Bytes bytes) {
  std::vector<std::pair<uint32_t, std::vector<uint8_t>>> cases;
  Exact blob(bytes);
  seal_header(blob.span());
  succeeds([&] {
    const BlobHeader header = parse_blob_header(blob.span(), blob.span().size());
    for (size_t i = 0; i < header.segments.size(); ++i) {
      const Segment& segment = header.segments[i];
      if (segment.encoding == Encoding::kRaw) continue;
      std::vector<uint8_t> input(kCaseHeaderBytes, 0);
      input[0] = static_cast<uint8_t>(header.tensor.dtype);
      input[1] = static_cast<uint8_t>(i + header.tensor.dtype);
      store(&input[2], static_cast<uint16_t>(header.codec_params.size()));
      store(&input[4], static_cast<uint32_t>(header.segment_rows(i)));
      store(&input[8], static_cast<uint32_t>(header.row_bytes / dtype_bytes(header.tensor.dtype)));
      input.insert(input.end(), header.codec_params.begin(), header.codec_params.end());
      const Bytes stored = blob.span().subspan(segment.offset, segment.bytes);
      input.insert(input.end(), stored.begin(), stored.end());
      cases.emplace_back(header.codec, std::move(input));
    }
  });
  return cases;
}

}  // namespace lpc::fuzz
