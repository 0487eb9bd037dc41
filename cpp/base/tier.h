// The instruction-set tiers and what this CPU supports of them.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"

namespace tacit {

// avx2: AVX2, AES-NI, BMI2.  avx512: those and AVX-512 F, DQ, BW, VL and VAES.
enum class Tier { portable, avx2, avx512 };

// Tiers this build holds and this CPU runs, best first; `portable` is always the last.
std::vector<Tier> supported_tiers();
std::string_view tier_name(Tier tier);

// The tier of that name; "" is the best one. Fails on an unknown or unsupported name.
Status choose_tier(std::string_view name, Tier& out);

}  // namespace tacit
