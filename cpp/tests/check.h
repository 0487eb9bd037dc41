// What the known-answer tests share: a check that counts, exact-size buffers, and words that look random.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "base/tier.h"
#include "base/types.h"

namespace tacit::test {

class Checks {
 public:
  void that(bool holds, const std::string& what) {
    ++count_;
    if (holds) return;
    ++failed_;
    std::printf("FAILED: %s\n", what.c_str());
  }

  int report() const {
    std::printf("%d checks, %d failed\n", count_, failed_);
    return failed_ == 0 && count_ > 0 ? 0 : 1;
  }

 private:
  int count_ = 0;
  int failed_ = 0;
};

using Vector = std::vector<u64>;  // exact sizes, so that the address sanitizer sees one word too many

// SplitMix64 (Steele, Lea and Flood, 2014) from a seed.
inline Vector noise(std::size_t n, u64 seed) {
  Vector out(n);
  for (u64& word : out) {
    u64 z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    word = z ^ (z >> 31);
  }
  return out;
}

inline std::string name_of(Tier tier) { return std::string(tier_name(tier)); }

}  // namespace tacit::test
