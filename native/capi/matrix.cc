// The products half of the C API.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "capi/arguments.h"
#include "codecs/decode.h"
#include "codecs/tensor.h"
#include "matmul/pool_loop.h"
#include "matmul/registry.h"
#include "simd/dot/dot.h"
#include "store/memory.h"

struct lpc_matrix {
  lpc::BlobHeader header;
  lpc::MappedMemory memory;  // the decoded matrix, or the segments as they are stored
  uint64_t bytes = 0;        // of it that are used
  lpc::Form form = lpc::Form::kDecoded;
  lpc::RowScales scales;  // of int8; empty without
  std::unique_ptr<lpc::Matrix> opened;
};

namespace {

using lpc::Error;
using lpc::capi::require;
using lpc::capi::require_equal;

constexpr uint64_t kPiece = uint64_t{128} << 10;  // bytes that a thread copies or reads at a time

void require_all(const lpc_matrix* const* matrices, uint64_t count) {
  if (count != 0) require(matrices, "matrices");
  for (uint64_t i = 0; i < count; ++i) require(matrices[i], "matrix");
}

void open(lpc_matrix& matrix) {
  matrix.opened = lpc::open_matrix({matrix.header,
                                    matrix.form,
                                    0,
                                    matrix.header.segments.size(),
                                    {matrix.memory.data(), matrix.bytes},
                                    matrix.scales});
}

void allocate(lpc_matrix& matrix, uint64_t bytes) {
  matrix.bytes = bytes;
  matrix.memory = lpc::MappedMemory(lpc::whole_huge_pages(bytes));
}

void decode_into(lpc_matrix& matrix, lpc::Bytes blob, unsigned threads) {
  const uint32_t dtype = matrix.header.tensor.dtype;
  if (dtype != LPC_DTYPE_BF16 && dtype != LPC_DTYPE_FP16 && dtype != LPC_DTYPE_FP32 && dtype != LPC_DTYPE_INT8) {
    throw Error(LPC_UNSUPPORTED,
                std::string("blob: got dtype ") + lpc::dtype_name(dtype) + ", expected bf16, fp16, fp32 or int8");
  }
  allocate(matrix, matrix.header.decoded_bytes());
  lpc::decode_rows(matrix.header, blob, 0, matrix.header.rows, {matrix.memory.data(), matrix.bytes}, threads);
}

void keep_stored(lpc_matrix& matrix, lpc::Bytes blob, unsigned threads) {
  const lpc::BlobHeader& header = matrix.header;
  if (!lpc::can_multiply_stored(header)) {
    throw Error(
        LPC_UNSUPPORTED,
        "blob: expected codec packed, or bitmap with plain values, and dtype bf16, not empty, for the packed form");
  }
  const uint64_t begin = header.segments.front().offset;
  allocate(matrix, blob.size() - begin);
  std::memcpy(matrix.memory.data(), blob.data() + begin, blob.size() - begin);
  lpc::parallel_for(header.segments.size(), threads, [&](size_t i) {
    const lpc::Segment& segment = header.segments[i];
    lpc::verify_segment(header, i, {matrix.memory.data() + segment.offset - begin, segment.bytes});
  });
  matrix.form = lpc::Form::kStored;
}

// Calls body(begin, end) for pieces of [0, bytes).
template <typename Body>
void for_pieces(uint64_t bytes, unsigned threads, const Body& body) {
  lpc::parallel_for((bytes + kPiece - 1) / kPiece, threads,
                    [&](size_t i) { body(i * kPiece, std::min(bytes, (i + 1) * kPiece)); }, lpc::Waiting::kAwake);
}

}  // namespace

extern "C" lpc_status lpc_matrix_create(const void* blob, uint64_t blob_bytes, uint32_t form, uint32_t threads,
                                        lpc_matrix** matrix) {
  return lpc::guarded([&] {
    require(blob, "blob");
    require(matrix, "matrix");
    const lpc::Bytes bytes{static_cast<const uint8_t*>(blob), blob_bytes};
    auto made = std::make_unique<lpc_matrix>();
    made->header = lpc::parse_whole_blob(bytes);
    if (made->header.tensor.rank != 2) require_equal(made->header.tensor.rank, 2, "blob: rank");
    if (form > LPC_MATRIX_PACKED)
      throw Error(LPC_INVALID_ARGUMENT, "form: got " + std::to_string(form) + ", expected 0 or 1");
    form == LPC_MATRIX_PACKED ? keep_stored(*made, bytes, threads) : decode_into(*made, bytes, threads);
    open(*made);
    *matrix = made.release();
  });
}

extern "C" lpc_status lpc_matrix_set_scales(lpc_matrix* matrix, uint64_t group, const float* scales,
                                            uint64_t scale_count) {
  return lpc::guarded([&] {
    require(matrix, "matrix");
    const lpc_tensor_desc& tensor = matrix->header.tensor;
    if (tensor.dtype != LPC_DTYPE_INT8) {
      throw Error(LPC_UNSUPPORTED,
                  std::string("matrix: got dtype ") + lpc::dtype_name(tensor.dtype) + ", expected int8");
    }
    if (group == 0) throw Error(LPC_INVALID_ARGUMENT, "group: got 0, expected at least 1");
    lpc::RowScales made{{}, group};
    require_equal(scale_count, tensor.shape[0] * made.groups(tensor.shape[1]), "scale_count");
    if (scale_count != 0) require(scales, "scales");
    made.values.assign(scales, scales + scale_count);
    matrix->scales = std::move(made);
    open(*matrix);
  });
}

extern "C" void lpc_matrix_free(lpc_matrix* matrix) { delete matrix; }

extern "C" lpc_status lpc_matrix_multiply(const lpc_matrix* matrix, uint32_t rows_are_outputs, uint64_t m,
                                          const float* x, uint64_t x_elements, float* y, uint64_t y_elements,
                                          uint32_t threads) {
  return lpc_matrix_multiply_each(&matrix, 1, rows_are_outputs, m, x, x_elements, y, y_elements, threads);
}

extern "C" lpc_status lpc_matrix_multiply_each(const lpc_matrix* const* matrices, uint64_t count,
                                               uint32_t rows_are_outputs, uint64_t m, const float* x,
                                               uint64_t x_elements, float* y, uint64_t y_elements, uint32_t threads) {
  return lpc::guarded([&] {
    if (rows_are_outputs > 1) throw Error(LPC_INVALID_ARGUMENT, "rows_are_outputs: expected 0 or 1");
    if (m > (uint64_t{1} << 31)) throw Error(LPC_INVALID_ARGUMENT, "m: expected at most 2^31");
    require_all(matrices, count);
    for (uint64_t i = 0; i < count; ++i) {
      if (rows_are_outputs == 0 && !matrices[i]->scales.values.empty()) {
        throw Error(LPC_UNSUPPORTED, "rows_are_outputs: got 0, expected 1 for a matrix with scales");
      }
      const uint64_t rows = matrices[i]->header.tensor.shape[0], columns = matrices[i]->header.tensor.shape[1];
      require_equal(x_elements, m * (rows_are_outputs != 0 ? columns : rows), "x_elements");
      require_equal(y_elements, count * m * (rows_are_outputs != 0 ? rows : columns), "y_elements");
    }
    if (x_elements != 0) require(x, "x");
    if (y_elements != 0) require(y, "y");
    lpc::PoolLoop pool{threads};
    for (uint64_t i = 0; i < count; ++i) {
      matrices[i]->opened->multiply({x, m, y + i * (y_elements / count), rows_are_outputs != 0}, pool.loop());
    }
  });
}

extern "C" lpc_status lpc_matrix_decode(const lpc_matrix* matrix, void* dst, uint64_t dst_capacity, uint32_t threads) {
  return lpc::guarded([&] {
    require(matrix, "matrix");
    const uint64_t bytes = matrix->header.decoded_bytes();
    if (bytes != 0) require(dst, "dst");
    if (dst_capacity < bytes) {
      throw Error(LPC_BUFFER_TOO_SMALL, "dst_capacity: got " + std::to_string(dst_capacity) +
                                            " bytes, expected at least " + std::to_string(bytes));
    }
    lpc::PoolLoop pool{threads};
    matrix->opened->read(static_cast<uint8_t*>(dst), pool.loop());
  });
}

extern "C" lpc_status lpc_matrix_read_each(const lpc_matrix* const* matrices, uint64_t count, uint32_t threads,
                                           uint64_t* bytes) {
  return lpc::guarded([&] {
    require_all(matrices, count);
    require(bytes, "bytes");
    std::atomic<uint64_t> sum{0};  // so that no read is left out
    *bytes = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const lpc_matrix& matrix = *matrices[i];
      for_pieces(matrix.bytes, threads, [&](uint64_t begin, uint64_t end) {
        sum += lpc::dot_kernels().read(matrix.memory.data() + begin, end - begin);
      });
      *bytes += matrix.bytes;
    }
  });
}
