// A matrix that stays packed in memory (codec `packed`, docs/format.md, 4.3): decoded in registers for few rows of
// activations, tile by tile for more. Memory of huge pages is read faster.
#pragma once

#include "matmul/matrix.h"
#include "simd/packed/packed.h"

namespace lpc {

class PackedMatrix final : public Matrix {
 public:
  // Codec packed, bf16, rank 2, not empty.
  static bool can_hold(const BlobHeader& header, Form form, const RowScales& scales);
  explicit PackedMatrix(const MatrixSource& source);

  void multiply(const Product& product, const Loop& loop) const override;
  void read(uint8_t* out, const Loop& loop) const override;
  void rebase(const uint8_t* bytes) override;

 private:
  // Rows within one segment.
  struct Run : PackedRun {
    const uint8_t* raw = nullptr;  // the segment's rows, if it is not encoded
    size_t first_row = 0;          // of the segment in the whole matrix

    size_t row() const { return first_row + begin; }
    size_t count() const { return end - begin; }
  };
  // What few rows of activations are multiplied with, and how.
  struct FewRows;

  void add_segment(Run segment, size_t rows, size_t& rows_left);
  void multiply_run(const FewRows& call, const Run& run, const Run* next, bool first) const;
  void few_rows(const Product& product, const Loop& loop) const;
  void several_rows(const Product& product, const Loop& loop) const;
  void columns_are_outputs(const Product& product, const Loop& loop) const;
  void decode(const Run& run, uint8_t* out) const;

  const uint8_t* bytes_;
  PackedTables tables_;
  size_t columns_;
  size_t total_rows_;
  std::vector<Run> runs_;      // all rows in order, in runs of about equal size
  std::vector<Run> segments_;  // the same in runs of whole segments, for one thread
  std::vector<Run> panels_;    // the same in runs of at most kPanelRows rows
};

}  // namespace lpc
