#include "codecs/blob.h"

#include <algorithm>
#include <cstdio>

#include "codecs/checksum.h"
#include "codecs/codec.h"
#include "codecs/layout.h"

namespace lpc {
namespace {

std::string hex(uint64_t value, int digits) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", digits, static_cast<unsigned long long>(value));
  return text;
}

std::string segment_name(size_t index) { return "segment[" + std::to_string(index) + "]"; }

size_t segment_entry_offset(size_t index) { return kFixedHeaderBytes + index * kSegmentEntryBytes; }

// Name of the header field that holds the byte at `offset`.
std::string header_field_at(uint64_t offset, uint64_t segment_count) {
  for (const Field& field : field::kAll) {
    if (offset < field.offset + field.bytes) return field.name;
  }
  const uint64_t in_table = offset - kFixedHeaderBytes;
  const uint64_t index = in_table / kSegmentEntryBytes;
  if (index >= segment_count) return "codec_params";
  for (const Field& field : kSegmentFields) {
    if (in_table % kSegmentEntryBytes < field.offset + field.bytes) return segment_name(index) + "." + field.name;
  }
  return segment_name(index);
}

[[noreturn]] void throw_truncated_header(uint64_t available, uint64_t needed, uint64_t segment_count) {
  throw Error(LPC_FORMAT_ERROR, header_field_at(available, segment_count) + " (offset " + std::to_string(available) +
                                    "): cut short: got " + std::to_string(available) + " bytes, expected a header of " +
                                    std::to_string(needed));
}

void check_zero(const Field& field, const uint8_t* bytes) {
  for (size_t i = 0; i < field.bytes; ++i) {
    if (bytes[i] != 0) throw_field(LPC_FORMAT_ERROR, field.name, field.offset + i, std::to_string(bytes[i]), "0");
  }
}

void check_header_checksum(Bytes header) {
  const uint64_t stated = load<uint64_t>(&header[field::kHeaderChecksum.offset]);
  const uint64_t computed = header_checksum(header);
  if (stated != computed) {
    throw_field(LPC_CHECKSUM_MISMATCH, field::kHeaderChecksum.name, field::kHeaderChecksum.offset, hex(computed, 16),
                hex(stated, 16) + " (header bytes changed)");
  }
}

lpc_tensor_desc read_tensor(const uint8_t* bytes) {
  lpc_tensor_desc tensor{};
  tensor.dtype = bytes[field::kDtype.offset];
  tensor.rank = bytes[field::kRank.offset];
  for (size_t axis = 0; axis < LPC_MAX_RANK; ++axis) {
    tensor.shape[axis] = load<uint64_t>(bytes + field::kShape.offset + 8 * axis);
  }
  if (tensor.dtype < LPC_DTYPE_BF16 || tensor.dtype > LPC_DTYPE_FP8_E5M2) {
    throw_field(LPC_UNSUPPORTED, "dtype", field::kDtype.offset, std::to_string(tensor.dtype), "1 to 7");
  }
  return tensor;
}

// Everything of the fixed header but magic, version, sizes and checksum, which are checked already.
void read_fixed_header(const uint8_t* bytes, BlobHeader& header) {
  const uint8_t codec = bytes[field::kCodec.offset];
  if (find_codec(codec) == nullptr) {
    throw_field(LPC_UNSUPPORTED, "codec", field::kCodec.offset, std::to_string(codec), "a codec of this build");
  }
  header.codec = codec;
  check_zero(field::kReserved9, bytes + field::kReserved9.offset);
  check_zero(field::kReserved80, bytes + field::kReserved80.offset);
  header.tensor = read_tensor(bytes);
  const TensorRows rows = tensor_rows(header.tensor, DescSource::kBlob);
  header.rows = rows.rows;
  header.row_bytes = rows.row_bytes;
  header.rows_per_segment = load<uint64_t>(bytes + field::kRowsPerSegment.offset);
  header.blob_bytes = load<uint64_t>(bytes + field::kBlobBytes.offset);
  if (header.blob_bytes > kMaxTensorBytes) throw_malformed(field::kBlobBytes, header.blob_bytes, "less than 2^63");
}

void check_segmentation(const BlobHeader& header, uint64_t segment_count) {
  if (header.rows_per_segment == 0) throw_malformed(field::kRowsPerSegment, 0, "at least 1");
  const uint64_t full_rows = std::min(header.rows, header.rows_per_segment);
  if (header.row_bytes != 0 && full_rows > kMaxSegmentBytes / header.row_bytes) {
    throw_malformed(field::kRowsPerSegment, header.rows_per_segment, "segments of at most 2147483647 decoded bytes");
  }
  const uint64_t expected = header.decoded_bytes() == 0 ? 0 : ceil_div(header.rows, header.rows_per_segment);
  if (segment_count != expected) throw_malformed(field::kSegmentCount, segment_count, std::to_string(expected));
}

[[noreturn]] void throw_entry(size_t index, const Field& field, uint64_t got, const std::string& expected) {
  throw_field(LPC_FORMAT_ERROR, segment_name(index) + "." + field.name, segment_entry_offset(index) + field.offset,
              std::to_string(got), expected);
}

void check_segment_bytes(const BlobHeader& header, size_t index, const Segment& segment, uint64_t left) {
  const Field& field = kSegmentFields[1];
  if (segment.bytes == 0 || segment.bytes > left) {
    throw_entry(index, field, segment.bytes, "1 to " + std::to_string(left) + ", what blob_bytes leaves");
  }
  const uint64_t decoded = header.segment_decoded_bytes(index);
  if (segment.encoding == Encoding::kRaw) {
    if (segment.bytes == decoded) return;
    throw_entry(index, field, segment.bytes, std::to_string(decoded) + ", the decoded size of a raw segment");
  }
  const uint64_t least = get_codec(header.codec).min_stored_bytes(segment_shape(header, index));
  if (segment.bytes < least) throw_entry(index, field, segment.bytes, "at least " + std::to_string(least));
  if (segment.bytes >= decoded) {
    throw_entry(index, field, segment.bytes, "less than the decoded size " + std::to_string(decoded));
  }
}

Segment read_segment(const BlobHeader& header, size_t index, const uint8_t* entry, uint64_t expected_offset) {
  const auto& [offset_field, bytes_field, checksum_field, encoding_field, reserved_field] = kSegmentFields;
  Segment segment;
  segment.offset = load<uint64_t>(entry + offset_field.offset);
  segment.bytes = load<uint64_t>(entry + bytes_field.offset);
  segment.checksum = load<uint64_t>(entry + checksum_field.offset);
  const uint8_t encoding = entry[encoding_field.offset];
  if (segment.offset != expected_offset) {
    throw_entry(index, offset_field, segment.offset, std::to_string(expected_offset));
  }
  const uint8_t largest = header.codec == LPC_CODEC_STORED ? 0 : 1;
  if (encoding > largest) throw_entry(index, encoding_field, encoding, "at most " + std::to_string(largest));
  segment.encoding = static_cast<Encoding>(encoding);
  check_segment_bytes(header, index, segment, header.blob_bytes - expected_offset);
  for (size_t i = 0; i < reserved_field.bytes; ++i) {
    const uint8_t byte = entry[reserved_field.offset + i];
    if (byte != 0) throw_entry(index, reserved_field, byte, "0");
  }
  return segment;
}

void read_segments(Bytes prefix, uint32_t segment_count, BlobHeader& header) {
  header.segments.reserve(segment_count);
  uint64_t end = header.header_bytes;
  for (size_t index = 0; index < segment_count; ++index) {
    const uint64_t expected_offset = align_up(end, kSegmentAlignment);
    if (expected_offset >= header.blob_bytes) {
      throw_malformed(field::kBlobBytes, header.blob_bytes, "room for " + segment_name(index));
    }
    header.segments.push_back(read_segment(header, index, &prefix[segment_entry_offset(index)], expected_offset));
    end = expected_offset + header.segments.back().bytes;
  }
  const uint64_t expected = align_up(end, kSegmentAlignment);
  if (header.blob_bytes != expected) throw_malformed(field::kBlobBytes, header.blob_bytes, std::to_string(expected));
}

void check_available(const BlobHeader& header, uint64_t available) {
  if (available >= header.blob_bytes) return;
  std::string where = "header";
  for (size_t index = 0; index < header.segments.size(); ++index) {
    if (available >= header.segments[index].offset) where = segment_name(index);
  }
  throw Error(LPC_FORMAT_ERROR, where + " (offset " + std::to_string(available) + "): cut short: got " +
                                    std::to_string(available) +
                                    " bytes, expected blob_bytes (offset 64) = " + std::to_string(header.blob_bytes));
}

void check_segment_arguments(const BlobHeader& header, size_t index, Bytes stored, uint64_t out_bytes) {
  const Segment& segment = header.segments.at(index);
  if (stored.size() != segment.bytes) {
    throw Error(LPC_FORMAT_ERROR, segment_name(index) + " (offset " + std::to_string(segment.offset) + "): got " +
                                      std::to_string(stored.size()) + " stored bytes, expected " +
                                      std::to_string(segment.bytes));
  }
  if (out_bytes != header.segment_decoded_bytes(index)) {
    throw Error(LPC_INVALID_ARGUMENT, "out: got " + std::to_string(out_bytes) + " bytes, expected " +
                                          std::to_string(header.segment_decoded_bytes(index)));
  }
}

}  // namespace

uint32_t peek_header_bytes(Bytes prefix) {
  const size_t have = std::min(prefix.size(), sizeof kMagicBytes);
  if (have > 0 && std::memcmp(prefix.data(), kMagicBytes, have) != 0) {
    uint32_t got = 0;
    std::memcpy(&got, prefix.data(), have);
    throw_field(LPC_FORMAT_ERROR, "magic", 0, hex(got, 8), "0x4243504c (\"LPCB\")");
  }
  if (prefix.size() < kFixedHeaderBytes) throw_truncated_header(prefix.size(), kFixedHeaderBytes, 0);
  const uint16_t version = load<uint16_t>(&prefix[field::kVersion.offset]);
  if (version != LPC_FORMAT_VERSION) {
    throw_field(LPC_UNSUPPORTED, "version", field::kVersion.offset, std::to_string(version), "1, all this build knows");
  }
  const uint64_t segment_count = load<uint32_t>(&prefix[field::kSegmentCount.offset]);
  const uint64_t params_bytes = load<uint32_t>(&prefix[field::kCodecParamsBytes.offset]);
  const uint64_t header_bytes = load<uint32_t>(&prefix[field::kHeaderBytes.offset]);
  if (segment_count > kMaxSegments) throw_malformed(field::kSegmentCount, segment_count, "less than 2^24");
  if (params_bytes > kMaxCodecParamsBytes) throw_malformed(field::kCodecParamsBytes, params_bytes, "at most 65536");
  const uint64_t expected = kFixedHeaderBytes + kSegmentEntryBytes * segment_count + params_bytes;
  if (header_bytes != expected) throw_malformed(field::kHeaderBytes, header_bytes, std::to_string(expected));
  return static_cast<uint32_t>(header_bytes);
}

BlobHeader parse_blob_header(Bytes prefix, uint64_t available_bytes) {
  BlobHeader header;
  header.header_bytes = peek_header_bytes(prefix);
  const uint32_t segment_count = load<uint32_t>(&prefix[field::kSegmentCount.offset]);
  const uint64_t usable = std::min<uint64_t>(prefix.size(), available_bytes);
  if (usable < header.header_bytes) throw_truncated_header(usable, header.header_bytes, segment_count);
  check_header_checksum(prefix.first(header.header_bytes));
  read_fixed_header(prefix.data(), header);
  check_segmentation(header, segment_count);
  header.rows_per_segment = std::min(header.rows_per_segment, std::max<uint64_t>(header.rows, 1));
  read_segments(prefix, segment_count, header);
  const Bytes params = prefix.first(header.header_bytes).subspan(segment_entry_offset(segment_count));
  get_codec(header.codec).check_params(header.tensor, params);
  header.codec_params.assign(params.begin(), params.end());
  check_available(header, available_bytes);
  return header;
}

void verify_segment(const BlobHeader& header, size_t index, Bytes stored) {
  const Segment& segment = header.segments.at(index);
  const uint64_t computed = checksum(stored);
  if (computed != segment.checksum) {
    throw_field(LPC_CHECKSUM_MISMATCH, segment_name(index) + ".checksum",
                segment_entry_offset(index) + kSegmentFields[2].offset, hex(computed, 16),
                hex(segment.checksum, 16) + " (bytes changed from offset " + std::to_string(segment.offset) + ")");
  }
}

void decode_verified(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch) {
  try {
    decode_segment(header, index, stored, out, scratch);
  } catch (const Error&) {
    verify_segment(header, index, stored);
    throw;
  }
  verify_segment(header, index, stored);
}

size_t segment_scratch_bytes(const BlobHeader& header) {
  const Codec& codec = get_codec(header.codec);
  size_t largest = 0;
  for (size_t index : {size_t{0}, header.segments.size() - 1}) {  // all but the last have one shape
    if (index < header.segments.size()) {
      largest = std::max(largest, codec.decode_scratch_bytes(segment_shape(header, index)));
    }
  }
  return largest;
}

void decode_segment(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch) {
  check_segment_arguments(header, index, stored, out.size());
  if (header.segments[index].encoding == Encoding::kRaw) {
    std::memcpy(out.data(), stored.data(), out.size());
    return;
  }
  const Codec& codec = get_codec(header.codec);
  const SegmentShape shape = segment_shape(header, index);
  if (scratch.size() < codec.decode_scratch_bytes(shape)) {
    throw Error(LPC_BUFFER_TOO_SMALL, "scratch: got " + std::to_string(scratch.size()) + " bytes, expected " +
                                          std::to_string(codec.decode_scratch_bytes(shape)));
  }
  try {
    codec.decode(shape, header.codec_params, stored, out, scratch);
  } catch (const Error& error) {
    throw Error(error.status(), segment_name(index) + " (offset " + std::to_string(header.segments[index].offset) +
                                    "): " + error.what());
  }
}

}  // namespace lpc
