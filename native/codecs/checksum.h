// XXH3-64 with seed 0: the checksum of segments and headers.
#pragma once

#include "codecs/blob_header.h"

namespace lpc {

uint64_t checksum(Bytes bytes);

// Checksum of a blob's header bytes with the checksum field itself taken as zeros.
uint64_t header_checksum(Bytes header);

}  // namespace lpc
