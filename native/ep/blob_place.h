// Where the blob of a weight lies, and what the graph says of it.
#pragma once

#include <string>
#include <vector>

#include "ep/api.h"

namespace lpc {

// Where a Decompress node's blob lies.
struct BlobPlace {
  std::string tensor;
  std::string file;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  int64_t layer = 0;
  bool transpose = false;
  std::vector<int64_t> shape;  // stored
};

// Throws LPC_FORMAT_ERROR when the blob is not external data, and as data_file; `folder_option` as in model_folder.
BlobPlace blob_place(const Api& api, const OrtGraph* graph, const OrtNode* decompress,
                     const std::string& folder_option);

}  // namespace lpc
