// The blocked integer matrix product that matmul, linear and conv2d share.
//
// out = left x right, mod 2^64 or, in words of 32 bits, mod 2^32. The left operand is a plain matrix; the right one is
// packed, panel by panel, by whoever knows its layout; results go to a grid of addresses. Blocks of the right operand stay in the second-level cache and
// strips of the left one in the first, after Goto and van de Geijn (2008).
#pragma once

#include <algorithm>
#include <new>
#include <vector>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "ring/kernels.h"

namespace tacit {

inline constexpr double kNsPerMac = 0.06;  // of the fastest tier, 64-bit: decides only how many threads are worth starting
inline constexpr std::size_t kDepthBlock = 256;
inline constexpr std::size_t kStripRow = kDepthBlock + 8;  // not a power of two: rows must not share cache sets
inline constexpr std::size_t kPanelsPerBlock = 12;

// Where column n of row m lives: base + m * row + (n / span) * image + n % span.
struct Grid {
  std::size_t row;
  std::size_t span;
  std::size_t image;
};

template <class Word>
struct Product {
  std::size_t rows;    // of the left operand and the result, in one group
  std::size_t cols;    // of the right operand and the result
  std::size_t depth;   // terms in each sum
  std::size_t groups;  // independent products
  const Word* left;    // [groups][rows][depth]
  const u64* init;     // like out, or null for zeros
  u64* out;
  std::size_t out_group;  // words between the groups of out
  Grid grid;
};

// A rectangle of one group's result, the unit of work of a thread.
struct Block {
  std::size_t group, row0, row1, col0, col1;
};

// Where a register tile of `rows` by `width` words, `cols` of them real, belongs in a group's result.
struct Patch {
  std::size_t row0, rows, col0, cols, width;
};

// Adds a tile to the result; the `first` of them sets it, to init and the tile.
template <class Word>
void put(const Product<Word>& p, const ProductKernels<Word>& kernels, std::size_t group, const Patch& patch,
         const Word* tile, bool first) {
  std::size_t done = 0;
  while (done < patch.cols) {
    const std::size_t at = (patch.col0 + done) % p.grid.span;
    const std::size_t n = std::min(patch.cols - done, p.grid.span - at);
    const std::size_t base = group * p.out_group + (patch.col0 + done) / p.grid.span * p.grid.image + at;
    for (std::size_t r = 0; r < patch.rows; ++r) {
      const std::size_t to = base + (patch.row0 + r) * p.grid.row;
      const u64* init = p.init == nullptr ? nullptr : p.init + to;
      kernels.put(n, tile + r * patch.width + done, init, !first, p.out + to);
    }
    done += n;
  }
}

// Cuts results of rows x cols into blocks, at least one for each worker where the shape allows.
std::vector<Block> cut(std::size_t rows, std::size_t cols, std::size_t groups, const TileShape& shape, int workers);

// Panels [first column, vectors] of `cols` columns, as equal as can be.
struct Panel {
  std::size_t col, width, vecs;
};
struct Panels {
  Panel at[kPanelsPerBlock];
  std::size_t count;

  const Panel* begin() const { return at; }
  const Panel* end() const { return at + count; }
};
Panels panels_of(std::size_t cols, const TileShape& shape);

// Terms of the sums to take at a time. A single panel leaves room for long stretches of the left operand, which then
// comes straight from memory.
std::size_t depth_block(const Panels& panels);

// Words of scratch that one worker needs.
std::size_t scratch_words(const TileShape& shape);

// Packs the panels of a block, a few terms of all of them at a time: their source lies side by side.
template <class Word, class Right>
void pack_panels(const ProductKernels<Word>& kernels, const Right& right, const Block& block, const Panels& panels,
                 std::size_t k0, std::size_t depth, Word* packed) {
  constexpr std::size_t kTerms = 32;
  for (std::size_t k = 0; k < depth; k += kTerms) {
    for (const Panel& panel : panels) {
      const std::size_t cols = std::min(panel.width, block.col1 - block.col0 - panel.col);
      right.pack(kernels, block.group, k0 + k, std::min(kTerms, depth - k), block.col0 + panel.col, cols, panel.width,
                 packed + depth * panel.col + k * panel.width);
    }
  }
}

// `Right` has pack(kernels, group, k0, depth, col0, cols, width, dst): dst[depth][width], zero past `cols`.
template <class Word, class Right>
void run_block(const Product<Word>& p, const ProductKernels<Word>& kernels, const Right& right, const Block& block,
               Word* scratch) {
  const TileShape& shape = kernels.shape;
  const Panels panels = panels_of(block.col1 - block.col0, shape);
  Word* const packed = scratch;
  Word* const strip = packed + kDepthBlock * kPanelsPerBlock * shape.vecs * shape.lanes;
  Word* const tile = strip + kStripRow * shape.rows;
  const Word* const left = p.left + block.group * p.rows * p.depth;
  std::size_t k0 = 0;
  do {
    const std::size_t depth = std::min(depth_block(panels), p.depth - k0);
    pack_panels(kernels, right, block, panels, k0, depth, packed);
    for (std::size_t row = block.row0; row < block.row1; row += shape.rows) {
      const std::size_t rows = std::min(shape.rows, block.row1 - row);
      const Word* a = left + row * p.depth + k0;
      std::size_t a_row = p.depth;
      if (panels.count > 1) {
        kernels.copy(rows, a, a_row, depth, kStripRow, strip);
        a = strip;
        a_row = kStripRow;
      }
      for (const Panel& panel : panels) {
        const std::size_t cols = std::min(panel.width, block.col1 - block.col0 - panel.col);
        kernels.tile(depth, a, a_row, rows, packed + depth * panel.col, panel.vecs, tile);
        put(p, kernels, block.group, {row, rows, block.col0 + panel.col, cols, panel.width}, tile, k0 == 0);
      }
    }
    k0 += depth;
  } while (k0 < p.depth);
}

template <class Word, class Right>
Status run_product(const Product<Word>& p, const ProductKernels<Word>& kernels, const Right& right, int threads) try {
  const double macs = static_cast<double>(p.rows) * static_cast<double>(p.cols) * static_cast<double>(p.depth) *
                      static_cast<double>(p.groups);
  const int wanted = workers_for(threads, p.rows * p.cols * p.groups, macs * kNsPerMac);
  const std::vector<Block> blocks = cut(p.rows, p.cols, p.groups, kernels.shape, wanted);
  const int workers = workers_for(threads, blocks.size(), macs * kNsPerMac);
  const std::size_t each = scratch_words(kernels.shape);
  const Buffer<Word> scratch = allocate<Word>(each * static_cast<std::size_t>(workers));
  if (!scratch) return no_memory();
  share(workers, blocks.size(), [&](int worker, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      run_block(p, kernels, right, blocks[i], scratch.get() + each * static_cast<std::size_t>(worker));
    }
  });
  return ok();
} catch (const std::bad_alloc&) {
  return no_memory();
}

}  // namespace tacit
