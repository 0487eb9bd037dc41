// The bit stream against one written bit by bit.
#include "check.h"
#include "ring/pack.h"

namespace tacit::test {
namespace {

std::vector<u8> slow_pack(const Vector& values, unsigned bits, std::size_t size) {
  std::vector<u8> out(size);
  for (std::size_t i = 0; i < values.size() * bits; ++i) {
    out[i / 8] = static_cast<u8>(out[i / 8] | (values[i / bits] >> (i % bits) & 1) << (i % 8));
  }
  return out;
}

void width(Checks& checks, unsigned bits, std::size_t count, int threads) {
  const Vector values = noise(count, bits);
  std::size_t size = 0;
  checks.that(bool(packed_bytes(count, bits, size)), "the size is known");
  std::vector<u8> got(size);
  pack(threads, count, bits, values.data(), got.data());
  const std::string what = std::to_string(count) + " values of " + std::to_string(bits) + " bits";
  checks.that(got == slow_pack(values, bits, size), "pack " + what);
  Vector back(count);
  checks.that(bool(unpack(threads, count, bits, got.data(), size, back.data())), "unpack runs");
  bool same = true;
  for (std::size_t i = 0; i < count; ++i) same = same && back[i] == (values[i] & ~u64{0} >> (64 - bits));
  checks.that(same, "unpack " + what);
  if (count * bits % 8 == 0) return;
  got.back() = static_cast<u8>(got.back() | 0x80);
  checks.that(unpack(threads, count, bits, got.data(), size, back.data()).code == Code::invalid,
              "padding must be zero");
}

}  // namespace
}  // namespace tacit::test

int main() {
  tacit::test::Checks checks;
  for (unsigned bits = 1; bits <= 64; ++bits) {
    for (std::size_t count : {1, 2, 7, 8, 9, 31, 32, 33, 47, 100}) tacit::test::width(checks, bits, count, 1);
  }
  for (unsigned bits : {5u, 8u, 12u, 24u, 37u, 40u, 44u, 58u, 63u}) tacit::test::width(checks, bits, 400'001, 3);
  std::size_t size = 0;
  checks.that(tacit::packed_bytes(1, 0, size).code == tacit::Code::invalid, "no width is refused");
  checks.that(tacit::packed_bytes(1, 65, size).code == tacit::Code::invalid, "a wide one is refused");
  checks.that(tacit::packed_bytes(~std::size_t{0}, 64, size).code == tacit::Code::invalid,
              "an endless stream is refused");
  return checks.report();
}
