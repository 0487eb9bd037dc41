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
  const auto wanted = static_cast<std::size_t>(workers);
  const std::size_t vecs = (p.cols + kernels.lanes - 1) / kernels.lanes;
  const std::size_t most = kPanelsPerBlock * kernels.max_vecs;
  const std::size_t across = std::max((vecs + most - 1) / most, std::size_t{1});
  const std::size_t strips = (p.rows + kernels.max_rows - 1) / kernels.max_rows;
  // Cutting rows packs the right operand again, so only when the columns alone would leave a thread short of work.
  const bool even = across * p.groups % wanted == 0 || across * p.groups > 8 * wanted;
  const std::size_t down = even ? 1 : std::clamp(strips, std::size_t{1}, wanted);
  std::vector<Block> blocks;
  blocks.reserve(p.groups * across * down);
  for (std::size_t i = 0; i < p.groups * across * down; ++i) {
    const std::size_t c = i / down % across;
    const std::size_t d = i % down;
    const std::size_t row0 = std::min(strips * d / down * kernels.max_rows, p.rows);
    const std::size_t row1 = std::min(strips * (d + 1) / down * kernels.max_rows, p.rows);
    const std::size_t col0 = vecs * c / across * kernels.lanes;
    const std::size_t col1 = std::min(vecs * (c + 1) / across * kernels.lanes, p.cols);
    blocks.push_back({i / (down * across), row0, row1, col0, col1});
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
