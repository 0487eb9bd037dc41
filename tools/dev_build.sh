#!/bin/sh
# Builds the native kernels and puts the extension beside the Python sources, for work in a checkout.
# Usage: tools/dev_build.sh [python]    (default: .venv/bin/python, else python3)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
python=${1:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)
build=build/dev
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DTACIT_WERROR=ON -DPython_EXECUTABLE="$(realpath -s "$python")" >/dev/null
cmake --build "$build" -j2
for extension in "$build"/_native*.so; do
  # Moved into place, so that a process that has the old one loaded keeps it.
  cp "$extension" "src/tacit/.$(basename "$extension").new"
  mv "src/tacit/.$(basename "$extension").new" "src/tacit/$(basename "$extension")"
done
