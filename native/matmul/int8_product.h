// Products of activations with symmetric INT8 weights, straight from the integers: the scale of a row (or of a group of
// columns in it) multiplies its sum.
#pragma once

#include <vector>

#include "matmul/product.h"

namespace lpc {

// The scales of a matrix: `group` neighbouring columns of a row share one, groups() a row.
struct RowScales {
  std::vector<float> values;  // [rows, groups]
  size_t group = 1;

  size_t groups(size_t columns) const { return (columns + group - 1) / group; }
};

// As multiply() in matmul/product.h for the transpose of a matrix of dtype int8, times its scales. For one instruction
// set the result is the same bit for bit however the rows are cut into calls.
void multiply(const MatrixRows& rows, const RowScales& scales, const float* x, size_t m, float* y,
              const ParallelLoop& loop);

}  // namespace lpc
