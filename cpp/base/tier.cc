#include "base/tier.h"

namespace tacit {
namespace {

#if defined(TACIT_X86)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vaes");
}
#endif

}  // namespace

std::vector<Tier> supported_tiers() {
  std::vector<Tier> tiers;
#if defined(TACIT_X86)
  __builtin_cpu_init();
  if (has_avx512()) tiers.push_back(Tier::avx512);
  if (has_avx2()) tiers.push_back(Tier::avx2);
#endif
  tiers.push_back(Tier::portable);
  return tiers;
}

std::string_view tier_name(Tier tier) {
  switch (tier) {
    case Tier::avx512: return "avx512";
    case Tier::avx2: return "avx2";
    case Tier::portable: break;
  }
  return "portable";
}

Status choose_tier(std::string_view name, Tier& out) {
  const std::vector<Tier> tiers = supported_tiers();
  std::string known;
  for (Tier tier : tiers) {
    if (name.empty() || name == tier_name(tier)) {
      out = tier;
      return ok();
    }
    known += known.empty() ? "" : ", ";
    known += tier_name(tier);
  }
  return invalid("tier '" + std::string(name) + "' is not one this CPU supports: " + known);
}

}  // namespace tacit
