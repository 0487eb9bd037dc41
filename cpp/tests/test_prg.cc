// AES-128 of every tier against FIPS 197 and against the portable one.
#include <cstring>

#include "check.h"
#include "prg/aes.h"
#include "prg/prg.h"

namespace tacit::test {
namespace {

struct Known {
  u8 key[16], plain[16], cipher[16];
};

// FIPS 197, appendices B and C.1
constexpr Known kKnown[] = {
    {{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c},
     {0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d, 0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34},
     {0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb, 0xdc, 0x11, 0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32}},
    {{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
     {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
     {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a}}};

// The last round key of appendix A.1, for the key of appendix B.
constexpr u8 kLastKey[16] = {0xd0, 0x14, 0xf9, 0xa8, 0xc9, 0xee, 0x25, 0x89,
                             0xe1, 0x3f, 0x0c, 0xc8, 0xb6, 0x63, 0x0c, 0xa6};

void known_answers(Checks& checks, Tier tier) {
  const PrgKernels& kernels = prg_kernels(tier);
  for (const Known& known : kKnown) {
    RoundKeys keys;
    kernels.expand(known.key, keys);
    u64 halves[2];
    std::memcpy(halves, known.plain, 16);
    u64 filled[2];
    u64 gathered[2];
    kernels.fill(keys, halves[1], halves[0], 1, filled);
    kernels.gather(keys, halves[1], &halves[0], 1, gathered);
    checks.that(std::memcmp(filled, known.cipher, 16) == 0, name_of(tier) + ": FIPS 197 by fill");
    checks.that(std::memcmp(gathered, known.cipher, 16) == 0, name_of(tier) + ": FIPS 197 by gather");
  }
  RoundKeys keys;
  kernels.expand(kKnown[0].key, keys);
  checks.that(std::memcmp(keys.bytes + 160, kLastKey, 16) == 0, name_of(tier) + ": key schedule");
}

void same_as_portable(Checks& checks, Tier tier) {
  const u64 first = ~u64{0} - 20;  // block numbers that wrap
  RoundKeys keys;
  prg_portable().expand(kKnown[0].key, keys);
  for (std::size_t n = 0; n < 80; ++n) {
    const Vector numbers = noise(n, n);
    Vector wanted(2 * n);
    Vector got(2 * n);
    prg_portable().fill(keys, 7, first, n, wanted.data());
    prg_kernels(tier).fill(keys, 7, first, n, got.data());
    checks.that(got == wanted, name_of(tier) + ": fill of " + std::to_string(n));
    prg_portable().gather(keys, 7, numbers.data(), n, wanted.data());
    prg_kernels(tier).gather(keys, 7, numbers.data(), n, got.data());
    checks.that(got == wanted, name_of(tier) + ": gather of " + std::to_string(n));
  }
}

void any_words(Checks& checks, Tier tier) {
  Vector whole(100);
  checks.that(bool(prg(tier, 1, kKnown[0].key, 3, 0, 100, whole.data())), "prg runs");
  for (std::size_t first = 0; first < 20; ++first) {
    for (std::size_t count = 0; count < 80; ++count) {
      Vector part(count);
      checks.that(bool(prg(tier, 3, kKnown[0].key, 3, first, count, part.data())), "prg runs");
      checks.that(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first)),
                  name_of(tier) + ": words from " + std::to_string(first));
    }
  }
  u64 beyond[2];
  checks.that(prg(tier, 1, kKnown[0].key, 3, ~u64{0}, 2, beyond).code == Code::invalid,
              "words beyond the last are refused");
}

}  // namespace
}  // namespace tacit::test

int main() {
  tacit::test::Checks checks;
  for (tacit::Tier tier : tacit::supported_tiers()) {
    tacit::test::known_answers(checks, tier);
    tacit::test::same_as_portable(checks, tier);
    tacit::test::any_words(checks, tier);
  }
  return checks.report();
}
