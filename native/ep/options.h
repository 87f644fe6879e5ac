// The provider's options, as text from the session's configuration.
#pragma once

#include <map>
#include <span>
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

// Layers not named are streamed.
Residence residence_of(const std::vector<ResidenceRange>& ranges, int64_t layer);

// As the option `residence` says it.
std::string residence_text(const std::vector<ResidenceRange>& ranges);

struct ProviderOptions {
  std::string session_id;            // names the session for lpc_get_session_stats
  unsigned decode_threads = 0;       // 0: one a core
  unsigned product_threads = 0;      // 0: those of the session
  bool chooses_residence = true;     // the provider does, within memory_budget_bytes
  uint64_t memory_budget_bytes = 0;  // of the whole process; 0: what is free
  std::vector<ResidenceRange> residence;
  uint32_t transcode_layout = 0;  // lpc_packed_layout; 0: the quickest to compute from here
  uint64_t ring_bytes = 0;        // 0: as large as the placement needs it
  FileOptions file;
  std::string trace_file;    // "": none
  std::string model_folder;  // "": where the model was loaded from
};

// One option as users are told of it.
struct OptionInfo {
  const char* name;
  const char* values;
  const char* default_value;
  const char* meaning;
};

// Every option there is, in the order in which the documentation lists them.
std::span<const OptionInfo> known_options();

// Throws LPC_INVALID_ARGUMENT naming option, value and what was expected; for an option that is not known, all that
// are.
ProviderOptions parse_options(const std::map<std::string, std::string>& given);

}  // namespace lpc
