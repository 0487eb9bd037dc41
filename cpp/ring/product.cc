#include "ring/product.h"

namespace tacit {
void put(const Product& p, const RingKernels& kernels, std::size_t group, const Patch& patch, const u64* tile,
         bool first) {
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

std::vector<Block> cut(const Product& p, const RingKernels& kernels, int workers) {
  const std::size_t wide = kPanelsPerBlock * kernels.max_vecs * kernels.lanes;
  const auto wanted = static_cast<std::size_t>(workers);
  const std::size_t across = std::max((p.cols + wide - 1) / wide, std::size_t{1});
  const std::size_t strips = (p.rows + kernels.max_rows - 1) / kernels.max_rows;
  const std::size_t down = std::clamp(across * p.groups >= wanted ? std::size_t{1} : wanted, std::size_t{1},
                                      std::max(strips, std::size_t{1}));
  std::vector<Block> blocks;
  for (std::size_t g = 0; g < p.groups; ++g) {
    for (std::size_t c = 0; c < across; ++c) {
      for (std::size_t d = 0; d < down; ++d) {
        const std::size_t row0 = std::min(strips * d / down * kernels.max_rows, p.rows);
        const std::size_t row1 = std::min(strips * (d + 1) / down * kernels.max_rows, p.rows);
        blocks.push_back({g, row0, row1, c * wide, std::min((c + 1) * wide, p.cols)});
      }
    }
  }
  return blocks;
}

Panels panels_of(std::size_t cols, const RingKernels& kernels) {
  const std::size_t vecs = (cols + kernels.lanes - 1) / kernels.lanes;
  const std::size_t count = (vecs + kernels.max_vecs - 1) / kernels.max_vecs;
  Panels panels{{}, count};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = vecs * i / count;
    const std::size_t last = vecs * (i + 1) / count;
    panels.at[i] = {first * kernels.lanes, (last - first) * kernels.lanes, last - first};
  }
  return panels;
}

std::size_t depth_block(const Panels& panels) { return panels.count > 1 ? kDepthBlock : kDepthBlock * kPanelsPerBlock; }

std::size_t scratch_words(const RingKernels& kernels) {
  const std::size_t width = kernels.max_vecs * kernels.lanes;
  return kDepthBlock * kPanelsPerBlock * width + kStripRow * kernels.max_rows + kernels.max_rows * width;
}

}  // namespace tacit
