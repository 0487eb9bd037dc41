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
inline constexpr std::size_t kPanelsPerBlock = 8;

// Where column n of row m lives: base + m * row + (n / span) * image + (n % span) * col.
struct Grid {
  std::size_t row;
  std::size_t span;
  std::size_t image;
  std::size_t col;
};

struct Product {
  std::size_t rows;     // of the left operand and the result, in one group
  std::size_t cols;     // of the right operand and the result
  std::size_t depth;    // terms in each sum
  std::size_t groups;   // independent products
  const u64* left;      // [groups][rows][depth]
  const u64* init;      // like out, or null for zeros
  u64* out;
  std::size_t out_group;  // words between the groups of out
  Grid grid;
};

// A rectangle of one group's result, the unit of work of a thread.
struct Block {
  std::size_t group, row0, row1, col0, col1;
};

// Adds a register tile to the result (`first` also adds init).
void put(const Product& p, std::size_t group, std::size_t row0, std::size_t rows, std::size_t col0, std::size_t cols,
         const u64* tile, std::size_t tile_row, bool first);

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

// Words of scratch that one worker needs.
std::size_t scratch_words(const RingKernels& kernels);

// `Right` has pack(kernels, group, k0, depth, col0, cols, width, dst): dst[depth][width], zero past `cols`.
template <class Right>
void run_block(const Product& p, const RingKernels& kernels, const Right& right, const Block& block, u64* scratch) {
  const Panels panels = panels_of(block.col1 - block.col0, kernels);
  u64* const packed = scratch;
  u64* const strip = packed + kDepthBlock * kPanelsPerBlock * kernels.max_vecs * kernels.lanes;
  u64* const tile = strip + kDepthBlock * kernels.max_rows;
  const u64* const left = p.left + block.group * p.rows * p.depth;
  std::size_t k0 = 0;
  do {
    const std::size_t depth = std::min(kDepthBlock, p.depth - k0);
    for (const Panel& panel : panels) {
      const std::size_t cols = std::min(panel.width, block.col1 - block.col0 - panel.col);
      right.pack(kernels, block.group, k0, depth, block.col0 + panel.col, cols, panel.width, packed + depth * panel.col);
    }
    for (std::size_t row = block.row0; row < block.row1; row += kernels.max_rows) {
      const std::size_t rows = std::min(kernels.max_rows, block.row1 - row);
      const u64* a = left + row * p.depth + k0;
      std::size_t a_row = p.depth;
      std::size_t a_col = 1;
      if (panels.count > 1) {
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t k = 0; k < depth; ++k) strip[k * rows + r] = a[r * p.depth + k];
        }
        a = strip;
        a_row = 1;
        a_col = rows;
      }
      for (const Panel& panel : panels) {
        const std::size_t cols = std::min(panel.width, block.col1 - block.col0 - panel.col);
        kernels.tile(depth, a, a_row, a_col, rows, packed + depth * panel.col, panel.vecs, tile);
        put(p, block.group, row, rows, block.col0 + panel.col, cols, tile, panel.width, k0 == 0);
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
