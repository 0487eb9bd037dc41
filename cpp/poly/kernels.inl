// The loops over 128-bit integers. Each tier includes this inside its own unnamed namespace: never call an inline
// library function from here.

u64 mask_of(i64 bits) { return ~u64{0} >> (64 - bits); }

u128 wide(const u64* words) { return static_cast<u128>(words[1]) << 64 | words[0]; }

// 1 where the top bit of the k-bit C is 0: the mask is to be read as signed.
std::size_t variant(const Opening& o, u64 opened) { return static_cast<std::size_t>(~opened >> (o.bits - 1) & 1); }

// (C >> p) - 2^(k-2-p), exact
u128 centre(const Opening& o, u64 opened) {
  return static_cast<u128>((opened & mask_of(o.bits)) >> o.shift) - (u128{1} << (o.bits - 2 - o.shift));
}

template <int Degree>
void powers_of(const Opening& o, std::size_t n, const u64* lam, u64* out) {
  const unsigned unused = static_cast<unsigned>(64 - o.bits);
  for (std::size_t i = 0; i < n; ++i) {
    const u64 unsigned_tag = (lam[i] & mask_of(o.bits)) >> o.shift;
    const i64 signed_tag = static_cast<i64>(lam[i] << unused) >> unused >> o.shift;
    const u128 tags[2] = {unsigned_tag, static_cast<u128>(signed_tag)};
    for (const u128 tag : tags) {
      u128 power = 1;
#pragma GCC unroll 6
      for (int j = 0; j < Degree; ++j, out += 2) {
        power *= tag;
        const u128 share = power - wide(out);
        out[0] = static_cast<u64>(share);
        out[1] = static_cast<u64>(share >> 64);
      }
    }
  }
}

void select(const Opening& o, std::size_t first, std::size_t n, const u64* opened, u64* numbers) {
  const auto degree = static_cast<std::size_t>(o.degree);
  for (std::size_t i = 0; i < n; ++i) {
    const u64 start = (2 * (first + i) + variant(o, opened[i])) * degree;
    for (std::size_t j = 0; j < degree; ++j) *numbers++ = start + j;
  }
}

// sum of (-1)^j t_j share_j for j = 1 ... Degree; leaves t_0 in `constant`.
template <int Degree>
u128 combine(const u128 (&coeffs)[Degree + 1], u128 c, const u64* shares, u128& constant) {
  u128 t[Degree + 1];
#pragma GCC unroll 7
  for (int i = 0; i <= Degree; ++i) t[i] = coeffs[i];
  // Repeated synthetic division by (x - c) leaves the Taylor coefficients at c.
#pragma GCC unroll 6
  for (int j = 0; j < Degree; ++j) {
#pragma GCC unroll 6
    for (int i = Degree - 1; i >= j; --i) t[i] += c * t[i + 1];
  }
  constant = t[0];
  u128 sum = 0;
#pragma GCC unroll 6
  for (int j = 1; j <= Degree; ++j) {
    const u128 term = t[j] * wide(shares + 2 * (j - 1));
    sum = j % 2 == 1 ? sum - term : sum + term;
  }
  return sum;
}

template <int Degree>
void client_of(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* shares, u64* out) {
  u128 a[Degree + 1];
  for (int i = 0; i <= Degree; ++i) a[i] = wide(coeffs + 2 * i);
  for (std::size_t i = 0; i < n; ++i, shares += 2 * Degree) {
    u128 unused;
    const u128 sum = combine<Degree>(a, centre(o, opened[i]), shares, unused);
    out[i] = static_cast<u64>(sum >> o.trunc);
  }
}

template <int Degree>
void server_of(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* powers, u64* out) {
  u128 a[Degree + 1];
  for (int i = 0; i <= Degree; ++i) a[i] = wide(coeffs + 2 * i);
  for (std::size_t i = 0; i < n; ++i, powers += 4 * Degree) {
    u128 constant;
    const u128 sum = combine<Degree>(a, centre(o, opened[i]), powers + 2 * Degree * variant(o, opened[i]), constant);
    out[i] = -static_cast<u64>(-(sum + constant) >> o.trunc);
  }
}

void powers(const Opening& o, std::size_t n, const u64* lam, u64* out) {
  using Fn = void (*)(const Opening&, std::size_t, const u64*, u64*);
  static constexpr Fn table[kMaxDegree] = {powers_of<1>, powers_of<2>, powers_of<3>,
                                           powers_of<4>, powers_of<5>, powers_of<6>};
  table[o.degree - 1](o, n, lam, out);
}

using EvaluateFn = void (*)(const Opening&, std::size_t, const u64*, const u64*, const u64*, u64*);

void client(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* shares, u64* out) {
  static constexpr EvaluateFn table[kMaxDegree] = {client_of<1>, client_of<2>, client_of<3>,
                                                   client_of<4>, client_of<5>, client_of<6>};
  table[o.degree - 1](o, n, opened, coeffs, shares, out);
}

void server(const Opening& o, std::size_t n, const u64* opened, const u64* coeffs, const u64* powers, u64* out) {
  static constexpr EvaluateFn table[kMaxDegree] = {server_of<1>, server_of<2>, server_of<3>,
                                                   server_of<4>, server_of<5>, server_of<6>};
  table[o.degree - 1](o, n, opened, coeffs, powers, out);
}
