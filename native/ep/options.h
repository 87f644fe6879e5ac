// The provider's options, as text from the session's configuration.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/weight_file.h"

namespace lpc {

// The words for it in the option; place_blob says what they mean for a weight.
enum class Residence { kStreamed, kResident, kDecoded, kTranscoded };

// Layers [first, last] and where their weights live.
struct ResidenceRange {
  int64_t first = 0;
  int64_t last = 0;
  Residence residence = Residence::kStreamed;
};

struct ProviderOptions {
  std::string session_id;                 // names the session for lpc_get_session_stats
  unsigned decode_threads = 0;            // 0: one a core
  unsigned product_threads = 0;           // 0: those of the session
  std::vector<ResidenceRange> residence;  // layers not named are streamed
  uint32_t transcode_layout = 0;          // lpc_packed_layout; 0: the quickest to compute from here
  uint64_t ring_bytes = 0;                // 0: the two largest neighbouring layers
  FileOptions file;
  std::string trace_file;    // "": none
  std::string model_folder;  // "": where the model was loaded from

  Residence residence_of(int64_t layer) const;
};

// Reads every option through `entry`, which returns "" for one that is not set.
// Throws LPC_INVALID_ARGUMENT naming option, value and what was expected.
//
//   session_id             any text
//   decode_threads         0 to 256; 0: one a core
//   product_threads        0 to 256: products run on so many threads, which stay awake from one to the next; 0: on
//                          those of the session
//   residence              "0:on_demand,1-5:decoded,6-9:resident,10-23:streamed": where each layer's weights live.
//                          transcoded: in memory in codec packed, whatever the file has; what packed does not take is
//                          resident. on_demand is the same as streamed: rows that a Gather asks for are always read
//                          singly
//   transcode_layout       auto, e2+3, e3+3, hi4p or hi3: of the transcoded weights; auto: the quickest to compute from
//                          on this machine
//   ring_bytes             memory that streamed and resident weights are decoded into; 0: automatic
//   read_mode              auto, direct or buffered
//   bus_limit_bytes_per_s  imitates a slower bus; 0: no limit
//   trace_file             a Chrome trace of the session is written there when it closes
//   model_folder           where the data files lie that the model names; needed by one that is made from bytes
ProviderOptions parse_options(const std::function<std::string(const char*)>& entry);

}  // namespace lpc
