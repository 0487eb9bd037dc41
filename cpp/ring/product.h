// The blocked integer matrix product that matmul, linear and conv2d share.
//
// out = left x right mod 2^64. The left operand is a plain matrix; the right one is packed, panel by panel, by whoever
// knows its layout; results go to a grid of addresses. Blocks of the right operand stay in the second-level cache and
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

inline constexpr double kNsPerMac = 0.06;  // of the fastest tier: decides only how many threads are worth starting
inline constexpr std::size_t kDepthBlock = 256;
inline constexpr std::size_t kStripRow = kDepthBlock + 8;  // not a power of two: rows must not share cache sets
inline constexpr std::size_t kPanelsPerBlock = 12;

// Where column n of row m lives: base + m * row + (n / span) * image + n % span.
struct Grid {
  std::size_t row;
  std::size_t span;
  std::size_t image;
};

struct Product {
  std::size_t rows;    // of the left operand and the result, in one group
  std::size_t cols;    // of the right operand and the result
  std::size_t depth;   // terms in each sum
  std::size_t groups;  // independent products
  const u64* left;     // [groups][rows][depth]
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
void put(const Product& p, const RingKernels& kernels, std::size_t group, const Patch& patch, const u64* tile,
         bool first);

// Cuts the result into blocks, at least one for each worker where the shape allows.
std::vector<Block> cut(const Product& p, const RingKernels& kernels, int workers);

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
Panels panels_of(std::size_t cols, const RingKernels& kernels);

// Terms of the sums to take at a time. A single panel leaves room for long stretches of the left operand, which then
// comes straight from memory.
std::size_t depth_block(const Panels& panels);

// Words of scratch that one worker needs.
std::size_t scratch_words(const RingKernels& kernels);

// Packs the panels of a block, a few terms of all of them at a time: their source lies side by side.
template <class Right>
void pack_panels(const RingKernels& kernels, const Right& right, const Block& block, const Panels& panels,
                 std::size_t k0, std::size_t depth, u64* packed) {
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
template <class Right>
void run_block(const Product& p, const RingKernels& kernels, const Right& right, const Block& block, u64* scratch) {
  const Panels panels = panels_of(block.col1 - block.col0, kernels);
  u64* const packed = scratch;
  u64* const strip = packed + kDepthBlock * kPanelsPerBlock * kernels.max_vecs * kernels.lanes;
  u64* const tile = strip + kStripRow * kernels.max_rows;
  const u64* const left = p.left + block.group * p.rows * p.depth;
  std::size_t k0 = 0;
  do {
    const std::size_t depth = std::min(depth_block(panels), p.depth - k0);
    pack_panels(kernels, right, block, panels, k0, depth, packed);
    for (std::size_t row = block.row0; row < block.row1; row += kernels.max_rows) {
      const std::size_t rows = std::min(kernels.max_rows, block.row1 - row);
      const u64* a = left + row * p.depth + k0;
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

template <class Right>
Status run_product(const Product& p, const RingKernels& kernels, const Right& right, int threads) try {
  const double macs = static_cast<double>(p.rows) * static_cast<double>(p.cols) * static_cast<double>(p.depth) *
                      static_cast<double>(p.groups);
  const std::vector<Block> blocks = cut(p, kernels, workers_for(threads, p.rows * p.cols * p.groups, macs * kNsPerMac));
  const int workers = workers_for(threads, blocks.size(), macs * kNsPerMac);
  const std::size_t each = scratch_words(kernels);
  const Words scratch = allocate_words(each * static_cast<std::size_t>(workers));
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
