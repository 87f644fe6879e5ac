// A matrix that products are computed from as its codec stores it: which codecs can do that, and how.
#pragma once

#include <variant>

#include "matmul/bitmap_matrix.h"
#include "matmul/packed_matrix.h"

namespace lpc {

class StoredMatrix {
 public:
  // Whether some codec's matrix can hold the blob.
  static bool can_hold(const BlobHeader& header) {
    return PackedMatrix::can_hold(header) || BitmapMatrix::can_hold(header);
  }

  // As PackedMatrix's.
  StoredMatrix(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored)
      : matrix_(open(header, first_segment, segment_count, stored)) {}

  // As in matmul/product.h.
  void multiply(bool rows_are_outputs, const float* x, size_t m, float* y, const ParallelLoop& loop) const {
    std::visit([&](const auto& matrix) { lpc::multiply(matrix, rows_are_outputs, x, m, y, loop); }, matrix_);
  }

  // All rows to `out`, the first of them first: dense bf16, any alignment.
  void decode(uint8_t* out, const ParallelLoop& loop) const {
    std::visit([&](const auto& matrix) { decode_runs(matrix, out, loop); }, matrix_);
  }

 private:
  using Any = std::variant<PackedMatrix, BitmapMatrix>;

  static Any open(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored) {
    if (BitmapMatrix::can_hold(header)) return BitmapMatrix(header, first_segment, segment_count, stored);
    return PackedMatrix(header, first_segment, segment_count, stored);
  }

  template <typename Matrix>
  static void decode_runs(const Matrix& matrix, uint8_t* out, const ParallelLoop& loop) {
    struct Task {
      const Matrix& matrix;
      uint8_t* out;
      static void run(void* context, size_t i) {
        const Task& task = *static_cast<const Task*>(context);
        const auto& runs = task.matrix.runs();
        const size_t row = runs[i].row() - runs.front().row();
        task.matrix.decode(runs[i], task.out + row * 2 * task.matrix.columns());
      }
    } task{matrix, out};
    loop.run(loop.self, Task::run, matrix.runs().size(), &task);
  }

  Any matrix_;
};

}  // namespace lpc
