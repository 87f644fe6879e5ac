// What a codec is: a folder with an implementation of this interface, a spec.md, and one line in registry.cc.
//
// A codec turns one segment (whole rows of one dtype) into bytes and back. It knows neither files, threads, headers
// nor ONNX Runtime, holds no state and never allocates: scratch memory comes from the caller.
#pragma once

#include "codecs/blob_header.h"
#include "codecs/tensor.h"

namespace lpc {

// What a segment decodes to.
struct SegmentShape {
  uint32_t dtype = 0;
  uint64_t rows = 0;
  uint64_t row_bytes = 0;

  uint64_t bytes() const { return rows * row_bytes; }
  uint64_t elements() const { return bytes() / dtype_bytes(dtype); }
};

class Codec {
 public:
  virtual ~Codec() = default;

  virtual lpc_codec id() const = 0;
  virtual const char* name() const = 0;

  // The same codec encoding in one of its layouts, 0 being its own choice. Throws LPC_INVALID_ARGUMENT if it has no
  // such.
  virtual const Codec& variant(uint32_t layout) const;

  // Codec parameters: what all segments of a tensor share, such as tables; kept in the header. Most codecs have none.
  virtual size_t params_bound(const lpc_tensor_desc& tensor) const;
  virtual std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src) const;
  // Whether parameters made for a part of the tensor serve for all of it.
  virtual bool params_from_sample() const { return true; }
  // Throws LPC_FORMAT_ERROR for parameters that this codec cannot have written.
  virtual void check_params(const lpc_tensor_desc& tensor, Bytes params) const;

  // Encodes one segment into `dst` and returns the stored size; 0 if it does not fit, and the segment is kept raw.
  virtual size_t encode_scratch_bytes(const SegmentShape& shape) const = 0;
  virtual size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst,
                        MutableBytes scratch) const = 0;

  // No encoded segment of this shape is smaller: bounds what a header may claim before anything is allocated for it.
  virtual size_t min_stored_bytes(const SegmentShape& shape) const = 0;

  // Decodes one segment; `out` has exactly shape.bytes() bytes and any alignment, and so may `scratch`.
  // Trusts nothing in `stored`: throws LPC_FORMAT_ERROR naming field and offset (from the start of the segment).
  virtual size_t decode_scratch_bytes(const SegmentShape& shape) const = 0;
  virtual void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out,
                      MutableBytes scratch) const = 0;
};

// The codec of this build with this id (codecs/registry.cc); null for one that it does not know.
const Codec* find_codec(uint32_t id);

// Throws LPC_UNSUPPORTED, naming the codecs that there are.
const Codec& get_codec(uint32_t id);

}  // namespace lpc
