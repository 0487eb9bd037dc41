#include "ring/product.h"

namespace tacit {

std::vector<Block> cut(std::size_t rows, std::size_t cols, std::size_t groups, const TileShape& shape, int workers) {
  const auto wanted = static_cast<std::size_t>(workers);
  const std::size_t vecs = (cols + shape.lanes - 1) / shape.lanes;
  const std::size_t most = kPanelsPerBlock * shape.vecs;
  const std::size_t across = std::max((vecs + most - 1) / most, std::size_t{1});
  const std::size_t strips = (rows + shape.rows - 1) / shape.rows;
  // Cutting rows packs the right operand again, so only when the columns alone would leave a thread short of work.
  const bool even = across * groups % wanted == 0 || across * groups > 8 * wanted;
  const std::size_t down = even ? 1 : std::clamp(strips, std::size_t{1}, wanted);
  std::vector<Block> blocks;
  blocks.reserve(groups * across * down);
  for (std::size_t i = 0; i < groups * across * down; ++i) {
    const std::size_t c = i / down % across;
    const std::size_t d = i % down;
    const std::size_t row0 = std::min(strips * d / down * shape.rows, rows);
    const std::size_t row1 = std::min(strips * (d + 1) / down * shape.rows, rows);
    const std::size_t col0 = vecs * c / across * shape.lanes;
    const std::size_t col1 = std::min(vecs * (c + 1) / across * shape.lanes, cols);
    blocks.push_back({i / (down * across), row0, row1, col0, col1});
  }
  return blocks;
}

Panels panels_of(std::size_t cols, const TileShape& shape) {
  const std::size_t vecs = (cols + shape.lanes - 1) / shape.lanes;
  const std::size_t count = (vecs + shape.vecs - 1) / shape.vecs;
  Panels panels{{}, count};
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t first = vecs * i / count;
    const std::size_t last = vecs * (i + 1) / count;
    panels.at[i] = {first * shape.lanes, (last - first) * shape.lanes, last - first};
  }
  return panels;
}

std::size_t depth_block(const Panels& panels) { return panels.count > 1 ? kDepthBlock : kDepthBlock * kPanelsPerBlock; }

std::size_t scratch_words(const TileShape& shape) {
  const std::size_t width = shape.vecs * shape.lanes;
  return kDepthBlock * kPanelsPerBlock * width + kStripRow * shape.rows + shape.rows * width;
}

}  // namespace tacit
