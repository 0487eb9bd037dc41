// What a kernel reports to the binding, which turns it into a Python exception.
#pragma once

#include <string>
#include <utility>

namespace tacit {

enum class Code { ok, invalid, no_memory };

struct [[nodiscard]] Status {
  Code code = Code::ok;
  std::string text;

  explicit operator bool() const { return code == Code::ok; }
};

inline Status ok() { return {}; }
inline Status invalid(std::string text) { return {Code::invalid, std::move(text)}; }
inline Status no_memory() { return {Code::no_memory, "not enough memory for this kernel's result or scratch space"}; }

}  // namespace tacit
