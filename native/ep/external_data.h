// What a graph says of files beside it, and whether it may be run at all: every path is checked before one is opened.
#pragma once

#include <optional>
#include <string>

#include "ep/api.h"

namespace lpc {

// Where an initializer's elements lie; `file` as the graph names it.
struct ExternalData {
  std::string file;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Nothing for an initializer that lies in the graph itself.
std::optional<ExternalData> external_data(const Api& api, const OrtValueInfo* value);

// The folder of the graph's model: `option` (provider option model_folder) if it is set, else where the model was
// loaded from; "" for one made from bytes.
std::string model_folder(const Api& api, const OrtGraph* graph, const std::string& option);

// Throws LPC_UNSUPPORTED for operators newer than this library, and as data_file for a file that the graph names,
// whoever would read it.
void check_graph(const Api& api, const OrtGraph* graph, const std::string& folder_option);

}  // namespace lpc
