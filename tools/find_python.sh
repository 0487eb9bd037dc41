#!/bin/sh
# Print the Python that the build uses: $PYTHON if set, else the first of 3.13, 3.12, 3.11, python3 that will do.
set -eu

probe='
import sys
missing = []
if sys.version_info < (3, 11): missing.append("is older than 3.11")
try:
    import ensurepip, venv
except ImportError:
    missing.append("lacks venv (Debian and Ubuntu: install python3-venv)")
import os, sysconfig
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    missing.append("lacks Python.h (install python3-dev or python3-devel)")
print("; ".join(missing))
'

reasons=""
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    path=$(command -v "$candidate") || continue
    missing=$("$path" -c "$probe" 2>/dev/null) || missing="does not run"
    if [ -z "$missing" ]; then
        echo "$path"
        exit 0
    fi
    reasons="$reasons
  $path: $missing"
done
if [ -z "$reasons" ]; then
    reasons="
  ${PYTHON:-python3}: not found"
fi
echo "Tacit needs Python 3.11 or newer with venv and its C headers; set PYTHON to name one. Tried:$reasons" >&2
exit 1
