// Two-dimensional convolution mod 2^64, or mod 2^32 with a kernel of 32-bit words.
#pragma once

#include "base/status.h"
#include "base/tier.h"
#include "base/types.h"

namespace tacit {

// What the caller gives: x[batch][channels][height][width], w[outputs][group_channels][kernel_h][kernel_w].
struct ConvShape {
  std::size_t batch, channels, height, width;
  std::size_t outputs, group_channels, kernel_h, kernel_w;
  i64 stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups;
  // Set by check_conv:
  std::size_t out_h = 0, out_w = 0;
};

// Fails on any shape that has no result; otherwise sets out_h and out_w, and all later sizes fit.
Status check_conv(ConvShape& shape);

// out[batch][outputs][out_h][out_w] = x (*) w + init (cross-correlation, zero padding); init may be null. With 32-bit
// words only the low halves of x and init count, and the result's high halves are zero.
template <class Word>
Status conv2d(Tier tier, int threads, const ConvShape& shape, const u64* x, const Word* w, const u64* init, u64* out);

}  // namespace tacit
