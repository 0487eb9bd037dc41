#include "bind/arrays.h"

NB_MODULE(_native, m) {
  namespace nb = nanobind;
  m.def("tiers", [] {
    nb::list names;
    for (tacit::Tier tier : tacit::supported_tiers()) {
      const std::string_view name = tacit::tier_name(tier);
      names.append(nb::str(name.data(), name.size()));
    }
    return names;
  });
  m.def("version", [] { return 1; });
  tacit::bind::bind_ring(m);
  tacit::bind::bind_conv(m);
  tacit::bind::bind_prg(m);
  tacit::bind::bind_poly(m);
  tacit::bind::bind_fss(m);
  tacit::bind::bind_spline(m);
}
