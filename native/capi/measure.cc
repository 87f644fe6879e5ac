// The measuring half of the C API.
#include "store/measure.h"

#include "capi/arguments.h"

namespace {

using lpc::capi::require;

void give(const lpc::Measured& measured, lpc_measured* out) {
  out->bytes = measured.bytes;
  out->nanoseconds = measured.nanoseconds;
}

}  // namespace

extern "C" lpc_status lpc_measure_memory_read(uint64_t bytes, uint32_t threads, double seconds,
                                              lpc_measured* measured) {
  return lpc::guarded([&] {
    require(measured, "measured");
    give(lpc::measure_memory_read(bytes, threads, seconds), measured);
  });
}

extern "C" lpc_status lpc_measure_file_read(const char* path, const lpc_file_read* read, lpc_measured* measured) {
  return lpc::guarded([&] {
    require(path, "path");
    lpc::capi::require_struct(read, "read");
    require(measured, "measured");
    lpc::FileRead options;
    options.block_bytes = read->block_bytes;
    options.queue_depth = read->queue_depth;
    options.direct = read->direct != 0;
    options.offset = read->offset;
    options.seconds = read->seconds;
    give(lpc::measure_file_read(path, options), measured);
  });
}
