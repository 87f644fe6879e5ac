// Version and status names of the C API.
#include "lpc/lpc.h"

extern "C" const char* lpc_version(void) { return LPC_VERSION; }

extern "C" uint32_t lpc_api_version(void) { return LPC_API_VERSION; }

extern "C" const char* lpc_status_name(lpc_status status) {
  switch (status) {
    case LPC_OK: return "LPC_OK";
    case LPC_INVALID_ARGUMENT: return "LPC_INVALID_ARGUMENT";
    case LPC_BUFFER_TOO_SMALL: return "LPC_BUFFER_TOO_SMALL";
    case LPC_OUT_OF_MEMORY: return "LPC_OUT_OF_MEMORY";
    case LPC_UNSUPPORTED: return "LPC_UNSUPPORTED";
    case LPC_FORMAT_ERROR: return "LPC_FORMAT_ERROR";
    case LPC_CHECKSUM_MISMATCH: return "LPC_CHECKSUM_MISMATCH";
    case LPC_IO_ERROR: return "LPC_IO_ERROR";
    case LPC_NOT_FOUND: return "LPC_NOT_FOUND";
    case LPC_CANCELLED: return "LPC_CANCELLED";
    case LPC_WRONG_PROCESS: return "LPC_WRONG_PROCESS";
    case LPC_INTERNAL: return "LPC_INTERNAL";
  }
  return "unknown status";
}
