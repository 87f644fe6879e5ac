// The blob container (docs/format.md, sections 2 and 3): header, segment table, segments.
//
// Knows neither files nor threads nor ONNX Runtime. A blob can be read piecewise: parse the header from a prefix of
// the bytes, then decode any segment from its stored bytes alone.
#pragma once

#include "codecs/blob_header.h"

namespace lpc {

// Reads magic, version and header_bytes from the first kFixedHeaderBytes bytes: how much parse_blob_header needs.
uint32_t peek_header_bytes(Bytes prefix);

// Checks and reads the header from a prefix of at least header_bytes bytes. `available_bytes` is how many bytes the
// blob may take in its container (file extent or buffer). Throws Error naming field and offset.
BlobHeader parse_blob_header(Bytes prefix, uint64_t available_bytes);

// Throws LPC_CHECKSUM_MISMATCH naming the segment.
void verify_segment(const BlobHeader& header, size_t index, Bytes stored);

// Scratch bytes that decode_segment needs for any segment of this blob.
size_t segment_scratch_bytes(const BlobHeader& header);

// Decodes one segment and verifies its checksum, in this order: decoding waits less for memory than computing a
// checksum does, which then finds the bytes in the cache. Damage is LPC_CHECKSUM_MISMATCH whatever the decoder said
// about it, and `out` undefined, as after all errors. Otherwise like decode_segment.
void decode_verified(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch);

// Decodes one segment from its stored bytes; does not verify the checksum, never allocates.
// `out` must have exactly segment_decoded_bytes(index) bytes and may have any alignment.
void decode_segment(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch);

}  // namespace lpc
