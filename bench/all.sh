#!/bin/sh
# Measures every figure of docs/benchmarks.md anew, on a machine that does nothing else, and writes the page:
# `sh bench/all.sh`; it takes some hours on two cores. Started again after an interruption, it goes on where it was.
# PYTHON is the interpreter, PEERS the folder of the peers' scripts, PEERS_HOME that of their environments.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
work=bench/results/local/all
set -- --peers "${PEERS:-../shared/peers}" --peers-home "${PEERS_HOME:-$PWD/.peers}"
mkdir -p "$work"

if [ ! -f "$work/kernels.json" ]; then
    "$python" bench/kernels.py --json > "$work/kernels.new"
    mv "$work/kernels.new" "$work/kernels.json"
fi
"$python" bench/relu.py --resume --out "$work/relu.json" "$@"
"$python" bench/nets.py --full --peer-links loopback --resume --out "$work/nets.json" "$@"
"$python" bench/answers.py --resume --out "$work/answers.json"
[ -f "$work/activation_error.json" ] || "$python" bench/activation_error.py --full --out "$work/activation_error.json"
mv "$work"/*.json bench/results/
"$python" bench/lib/report.py bench/results docs/benchmarks.md
