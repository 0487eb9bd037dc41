// The innermost loops of the ring, one table per tier and word; everything around them is written once.
//
// Products are made of words of 64 or of 32 bits, mod 2^64 or mod 2^32. Inputs and results are words of 64 bits always:
// the 32-bit kernels read the low halves and write zeros into the high ones.
#pragma once

#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// A stretch of pixels that lie side by side in memory: panel columns [dst, dst + len) are x[src ...].
struct Run {
  std::size_t dst;
  std::size_t src;
  std::size_t len;
};

// The most rows and columns of one call to `dot`.
inline constexpr std::size_t kDotRows = 4;
inline constexpr std::size_t kDotCols = 4;

// The register tile of a tier: `rows` by `vecs` vectors of `lanes` words at the most.
struct TileShape {
  std::size_t lanes;
  std::size_t rows;
  std::size_t vecs;
};

template <class Word>
struct ProductKernels {
  TileShape shape;

  // out[rows][vecs * lanes] = a[rows][depth] x panel[depth][vecs * lanes]; a's rows are `a_row` words apart.
  void (*tile)(std::size_t depth, const Word* a, std::size_t a_row, std::size_t rows, const Word* panel,
               std::size_t vecs, Word* out);
  // out[r * cols + c] = <w[r], x[c]> for up to kDotRows rows and kDotCols cols of `depth` words.
  void (*dot)(std::size_t depth, const Word* w, std::size_t w_row, std::size_t rows, const Word* x, std::size_t x_row,
              std::size_t cols, Word* out);
  // panel[k][j] = x[offset[k] + (source of column j)]; columns no run covers become 0.
  void (*gather)(std::size_t depth, const Word* x, const std::size_t* offset, const Run* runs, std::size_t count,
                 std::size_t width, Word* panel);
  // dst[k][j] = src[k * src_row + j] for j < cols, and 0 up to `width`.
  void (*copy)(std::size_t depth, const Word* src, std::size_t src_row, std::size_t cols, std::size_t width, Word* dst);
  // The same from inputs of 64 bits.
  void (*take)(std::size_t depth, const u64* src, std::size_t src_row, std::size_t cols, std::size_t width, Word* dst);
  // out[j] (+)= tile[j] (+ init[j]): `accumulate` adds to what is there, `init` may be null.
  void (*put)(std::size_t n, const Word* tile, const u64* init, bool accumulate, u64* out);
  // out[i] += w * x[i * step]
  void (*axpy)(std::size_t n, Word w, const Word* x, std::size_t step, Word* out);
};

struct RingKernels {
  ProductKernels<u64> words;
  ProductKernels<u32> halves;
  void (*add)(std::size_t n, const u64* a, const u64* b, u64* out);
  void (*sub)(std::size_t n, const u64* a, const u64* b, u64* out);
  void (*scale)(std::size_t n, const u64* a, u64 s, u64* out);
};

const RingKernels& ring_kernels(Tier tier);

const RingKernels& ring_portable();
const RingKernels& ring_avx2();
const RingKernels& ring_avx512();

// The table for words of that type.
template <class Word>
const ProductKernels<Word>& product_kernels(Tier tier) {
  if constexpr (sizeof(Word) == sizeof(u32)) {
    return ring_kernels(tier).halves;
  } else {
    return ring_kernels(tier).words;
  }
}

}  // namespace tacit
