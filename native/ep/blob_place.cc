#include "ep/blob_place.h"

#include "ep/external_data.h"
#include "store/data_file.h"

namespace lpc {

BlobPlace blob_place(const Api& api, const OrtGraph* graph, const OrtNode* decompress,
                     const std::string& folder_option) {
  BlobPlace place;
  place.tensor = string_attribute(api, decompress, "tensor");
  place.layer = int_attribute(api, decompress, "layer", 0);
  place.transpose = int_attribute(api, decompress, "transpose", 0) != 0;
  place.shape = ints_attribute(api, decompress, "shape");
  const auto data = external_data(api, node_inputs(api, decompress)[0]);
  if (!data) throw Error(LPC_FORMAT_ERROR, "tensor " + place.tensor + ": its blob is not external data");
  place.offset = data->offset;
  place.bytes = data->bytes;
  place.file = data_file(model_folder(api, graph, folder_option), data->file);
  return place;
}

}  // namespace lpc
