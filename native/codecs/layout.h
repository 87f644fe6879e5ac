// Where the fields of a blob lie (docs/format.md, 2.1 and 2.2), its limits, and how to speak of them in errors.
#pragma once

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "codecs/blob_header.h"

namespace lpc {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and is read in place");

struct Field {
  const char* name;
  size_t offset;
  size_t bytes;
};

namespace field {
inline constexpr Field kMagic{"magic", 0, 4};
inline constexpr Field kVersion{"version", 4, 2};
inline constexpr Field kCodec{"codec", 6, 1};
inline constexpr Field kDtype{"dtype", 7, 1};
inline constexpr Field kRank{"rank", 8, 1};
inline constexpr Field kReserved9{"reserved", 9, 3};
inline constexpr Field kSegmentCount{"segment_count", 12, 4};
inline constexpr Field kShape{"shape", 16, 32};
inline constexpr Field kRowsPerSegment{"rows_per_segment", 48, 8};
inline constexpr Field kCodecParamsBytes{"codec_params_bytes", 56, 4};
inline constexpr Field kHeaderBytes{"header_bytes", 60, 4};
inline constexpr Field kBlobBytes{"blob_bytes", 64, 8};
inline constexpr Field kHeaderChecksum{"header_checksum", 72, 8};
inline constexpr Field kReserved80{"reserved", 80, 16};
inline constexpr Field kAll[] = {kMagic,       kVersion,      kCodec,          kDtype,          kRank,
                                 kReserved9,   kSegmentCount, kShape,          kRowsPerSegment, kCodecParamsBytes,
                                 kHeaderBytes, kBlobBytes,    kHeaderChecksum, kReserved80};
}  // namespace field

// A segment table entry; offsets from its start.
inline constexpr size_t kSegmentEntryBytes = 32;
inline constexpr Field kSegmentFields[] = {
    {"offset", 0, 8}, {"bytes", 8, 8}, {"checksum", 16, 8}, {"encoding", 24, 1}, {"reserved", 25, 7}};

inline constexpr uint8_t kMagicBytes[4] = {'L', 'P', 'C', 'B'};
inline constexpr uint64_t kMaxTensorBytes = (uint64_t{1} << 63) - 1;
inline constexpr uint64_t kMaxSegmentBytes = (uint64_t{1} << 31) - 1;
inline constexpr uint64_t kMaxSegments = (uint64_t{1} << 24) - 1;
inline constexpr uint64_t kMaxCodecParamsBytes = 65536;

constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}
constexpr uint64_t ceil_div(uint64_t value, uint64_t divisor) { return value / divisor + (value % divisor != 0); }

// Little-endian loads and stores at any alignment.
template <typename Integer>
Integer load(const uint8_t* from) {
  static_assert(std::is_integral_v<Integer>);
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename Integer>
void store(uint8_t* to, Integer value) {
  static_assert(std::is_integral_v<Integer>);
  std::memcpy(to, &value, sizeof value);
}

// Throws "NAME (offset N): got G, expected E".
[[noreturn]] inline void throw_field(lpc_status status, const std::string& name, uint64_t offset,
                                     const std::string& got, const std::string& expected) {
  throw Error(status, name + " (offset " + std::to_string(offset) + "): got " + got + ", expected " + expected);
}
[[noreturn]] inline void throw_malformed(const Field& field, uint64_t got, const std::string& expected) {
  throw_field(LPC_FORMAT_ERROR, field.name, field.offset, std::to_string(got), expected);
}

}  // namespace lpc
