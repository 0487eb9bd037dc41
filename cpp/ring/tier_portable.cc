// The ring's inner loops in plain C++.
#include "ring/kernels.h"

namespace tacit {
namespace {

#include "ring/common.inl"

// Words of one vector register of the baseline, or two.
template <class Word>
constexpr std::size_t kLanes = 32 / sizeof(Word);

template <class Word, std::size_t Rows>
void rows_tile(std::size_t depth, const Word* a, std::size_t a_row, const Word* panel, Word* out) {
  constexpr std::size_t kWidth = kLanes<Word>;
  Word sum[Rows][kWidth] = {};
  for (std::size_t k = 0; k < depth; ++k, panel += kWidth, ++a) {
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t j = 0; j < kWidth; ++j) sum[r][j] += a[r * a_row] * panel[j];
    }
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    for (std::size_t j = 0; j < kWidth; ++j) out[r * kWidth + j] = sum[r][j];
  }
}

template <class Word>
void tile(std::size_t depth, const Word* a, std::size_t a_row, std::size_t rows, const Word* panel, std::size_t,
          Word* out) {
  (rows == 2 ? rows_tile<Word, 2> : rows_tile<Word, 1>)(depth, a, a_row, panel, out);
}

template <class Word>
void dot(std::size_t depth, const Word* w, std::size_t w_row, std::size_t rows, const Word* x, std::size_t x_row,
         std::size_t cols, Word* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      Word sum = 0;
      for (std::size_t k = 0; k < depth; ++k) sum += w[r * w_row + k] * x[c * x_row + k];
      out[r * cols + c] = sum;
    }
  }
}

}  // namespace

const RingKernels& ring_portable() {
  static constexpr RingKernels kernels{table<u64>({kLanes<u64>, 2, 1}, tile<u64>, dot<u64>),
                                       table<u32>({kLanes<u32>, 2, 1}, tile<u32>, dot<u32>), add, sub, scale};
  return kernels;
}

}  // namespace tacit
