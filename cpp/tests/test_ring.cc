// Products and convolutions of every tier, mod 2^64 and mod 2^32, against triple loops.
#include "check.h"
#include "ring/conv.h"
#include "ring/dense.h"

namespace tacit::test {
namespace {

// What the server's operand is made of: the words themselves, or their low halves.
template <class Word>
std::vector<Word> low(const Vector& words) {
  std::vector<Word> out;
  for (u64 word : words) out.push_back(static_cast<Word>(word));
  return out;
}

// The result mod 2^64 or 2^32.
template <class Word>
void reduce(Vector& words) {
  for (u64& word : words) word = static_cast<Word>(word);
}

template <class Word>
void products(Checks& checks, Tier tier, std::size_t m, std::size_t k, std::size_t n) {
  const Vector a = noise(m * k, 1);
  const Vector b = noise(k * n, 2);
  const Vector init = noise(m * n, 3);
  Vector wanted(m * n);
  Vector transposed(n * k);
  for (std::size_t i = 0; i < m * n; ++i) {
    for (std::size_t t = 0; t < k; ++t) wanted[i] += a[i / n * k + t] * b[t * n + i % n];
  }
  for (std::size_t i = 0; i < n * k; ++i) transposed[i] = b[i % k * n + i / k];
  Vector wanted_sum(m * n);
  for (std::size_t i = 0; i < m * n; ++i) wanted_sum[i] = wanted[i] + init[i];
  reduce<Word>(wanted);
  reduce<Word>(wanted_sum);
  const std::vector<Word> left = low<Word>(a);
  const std::vector<Word> weights = low<Word>(transposed);
  const std::string shape = std::to_string(8 * sizeof(Word)) + " bits, " + std::to_string(m) + " " + std::to_string(k) + " " + std::to_string(n);
  for (int threads : {1, 3}) {
    Vector got(m * n);
    checks.that(bool(matmul(tier, threads, m, k, n, left.data(), b.data(), got.data())), "matmul runs");
    checks.that(got == wanted, name_of(tier) + ": matmul " + shape);
    checks.that(bool(linear(tier, threads, m, k, n, a.data(), weights.data(), init.data(), got.data())), "linear runs");
    checks.that(got == wanted_sum, name_of(tier) + ": linear " + shape);
  }
}

struct Windows {
  std::size_t batch, channels, size, outputs, kernel;
  i64 stride, padding, dilation, groups;
};

u64 pixel(const ConvShape& s, const Vector& x, std::size_t image, std::size_t channel, i64 h, i64 w) {
  if (h < 0 || w < 0 || h >= static_cast<i64>(s.height) || w >= static_cast<i64>(s.width)) return 0;
  return x[((image * s.channels + channel) * s.height + static_cast<std::size_t>(h)) * s.width +
           static_cast<std::size_t>(w)];
}

u64 window(const ConvShape& s, const Vector& x, const Vector& w, std::size_t at) {
  const std::size_t ow = at % s.out_w;
  const std::size_t oh = at / s.out_w % s.out_h;
  const std::size_t o = at / (s.out_w * s.out_h) % s.outputs;
  const std::size_t image = at / (s.out_w * s.out_h * s.outputs);
  const std::size_t first = o / (s.outputs / static_cast<std::size_t>(s.groups)) * s.group_channels;
  const std::size_t taps = s.kernel_h * s.kernel_w;
  u64 sum = 0;
  for (std::size_t t = 0; t < s.group_channels * taps; ++t) {
    const i64 h =
        static_cast<i64>(oh) * s.stride_h - s.padding_h + static_cast<i64>(t % taps / s.kernel_w) * s.dilation_h;
    const i64 v = static_cast<i64>(ow) * s.stride_w - s.padding_w + static_cast<i64>(t % s.kernel_w) * s.dilation_w;
    sum += w[o * s.group_channels * taps + t] * pixel(s, x, image, first + t / taps, h, v);
  }
  return sum;
}

template <class Word>
void convolution(Checks& checks, Tier tier, const Windows& c) {
  ConvShape s{c.batch,    c.channels, c.size,   c.size,   c.outputs, c.channels / static_cast<std::size_t>(c.groups),
              c.kernel,   c.kernel,   c.stride, c.stride, c.padding, c.padding,
              c.dilation, c.dilation, c.groups};
  checks.that(bool(check_conv(s)), "the shape has a result");
  const Vector x = noise(s.batch * s.channels * s.height * s.width, 1);
  const Vector w = noise(s.outputs * s.group_channels * s.kernel_h * s.kernel_w, 2);
  const Vector init = noise(s.batch * s.outputs * s.out_h * s.out_w, 3);
  Vector wanted(init.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = init[i] + window(s, x, w, i);
  reduce<Word>(wanted);
  const std::vector<Word> weights = low<Word>(w);
  for (int threads : {1, 3}) {
    Vector got(init.size());
    checks.that(bool(conv2d(tier, threads, s, x.data(), weights.data(), init.data(), got.data())), "conv2d runs");
    checks.that(got == wanted,
                name_of(tier) + ": conv2d of " + std::to_string(8 * sizeof(Word)) + " bits, " + std::to_string(c.size) +
                    " to " + std::to_string(c.outputs));
  }
}

void refusals(Checks& checks) {
  const ConvShape good{1, 4, 5, 5, 6, 4, 3, 3, 1, 1, 0, 0, 1, 1, 1};
  const auto refused = [&](auto change) {
    ConvShape shape = good;
    change(shape);
    checks.that(check_conv(shape).code == Code::invalid, "a shape without a result is refused");
  };
  refused([](ConvShape& s) { s.groups = 0; });
  refused([](ConvShape& s) { s.groups = 5; });
  refused([](ConvShape& s) { s.kernel_h = 0; });
  refused([](ConvShape& s) { s.kernel_w = 6; });
  refused([](ConvShape& s) { s.stride_h = 0; });
  refused([](ConvShape& s) { s.padding_w = -1; });
  refused([](ConvShape& s) { s.dilation_w = i64{1} << 62; });
  refused([](ConvShape& s) { s.padding_h = s.padding_w = (i64{1} << 31) - 1; });
}

// Every kernel of a tier with words of one kind.
template <class Word>
void everything(Checks& checks, Tier tier) {
  for (std::size_t m : {1, 2, 5, 8, 19}) {
    for (std::size_t k : {0, 1, 7, 33, 300}) {
      for (std::size_t n : {1, 4, 9, 24, 50}) products<Word>(checks, tier, m, k, n);
    }
  }
  products<Word>(checks, tier, 70, 260, 210);
  convolution<Word>(checks, tier, {2, 3, 9, 5, 3, 1, 1, 1, 1});
  convolution<Word>(checks, tier, {1, 4, 9, 8, 3, 2, 2, 1, 2});
  convolution<Word>(checks, tier, {3, 4, 10, 4, 3, 1, 0, 2, 1});
  convolution<Word>(checks, tier, {1, 6, 7, 6, 3, 2, 1, 1, 6});
  convolution<Word>(checks, tier, {1, 40, 2, 9, 3, 1, 1, 1, 1});
  convolution<Word>(checks, tier, {4, 30, 1, 9, 1, 1, 0, 1, 3});
  convolution<Word>(checks, tier, {2, 30, 12, 17, 3, 1, 1, 1, 1});
  convolution<Word>(checks, tier, {1, 2, 21, 9, 5, 3, 4, 2, 1});
}

}  // namespace
}  // namespace tacit::test

int main() {
  tacit::test::Checks checks;
  for (tacit::Tier tier : tacit::supported_tiers()) {
    tacit::test::everything<tacit::u64>(checks, tier);
    tacit::test::everything<tacit::u32>(checks, tier);
  }
  tacit::test::refusals(checks);
  return checks.report();
}
