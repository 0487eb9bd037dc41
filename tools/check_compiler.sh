#!/bin/sh
# Say in one sentence if there is no C++ compiler, or one too old for C++20; print nothing when all is well.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '#include <concepts>\n#include <span>\ntemplate <std::integral T> T f(T x) { return x; }\nint main() { return f(0); }\n' \
    > "$scratch/probe.cc"
found=""
for compiler in ${CXX:-c++ g++ clang++}; do
    command -v "$compiler" > /dev/null || continue
    found="$found $compiler"
    if "$compiler" -std=c++20 -o "$scratch/probe" "$scratch/probe.cc" 2> "$scratch/errors"; then
        exit 0
    fi
done
if [ -z "$found" ]; then
    echo "Tacit needs a C++ compiler: install g++ or clang, or set CXX to one." >&2
else
    cat "$scratch/errors" >&2
    echo "Tacit needs a C++20 compiler (g++ 11 or clang 14, or newer); this one is too old:$found. Set CXX to another." >&2
fi
exit 1
