// What the fuzz targets do with a piece of bytes. An input is either a whole blob, or a case: one segment for one
// decoder, so that no checksum and no segment table stands between the mutation and the decoder.
//
// A case: byte 0 dtype, byte 1 instruction set, u16 bytes of codec parameters, u32 rows, u32 columns, 4 bytes ignored,
// the codec parameters, the stored bytes. Numbers are taken modulo what is possible.
#pragma once

#include <utility>
#include <vector>

#include "codecs/blob.h"

namespace lpc::fuzz {

// Parses and decodes a blob as it is, and once more with its checksums made right; `codec` replaces that of the header
// unless it is negative. Traps when an error says nothing.
void run_container(Bytes blob, int codec = -1);

// Decodes the segment of a case. Traps when the instruction sets differ in what they decode, or when the decoder
// accepts a segment whose decoded bytes depend on what the output held before.
void run_segment(uint32_t codec, Bytes input);

// The segments of a well-formed or malformed blob as cases; none if its header cannot be read.
std::vector<std::pair<uint32_t, std::vector<uint8_t>>> cases_of(Bytes blob);

}  // namespace lpc::fuzz
