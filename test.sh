#!/usr/bin/env bash
# Installs what the tests need and is missing, restores locked, checks the format, builds, and runs every layer.
#   ./test.sh                    all layers
#   ./test.sh unit actor         only these (unit actor cluster kernel conformance aot kubernetes lab)
# The layer "kubernetes" wants a kube-apiserver: naming it builds one (eight minutes, once); without a name it runs where
# there is one already and is skipped elsewhere.
# Ends with one line: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "$0")"
. ./deploy/scripts/install.sh
require_dotnet
require_tools tests

layers=("$@")
filter=""
for layer in "${layers[@]}"; do filter="${filter:+$filter|}Layer=$layer"; done

[[ " ${layers[*]} " != *" kubernetes "* ]] || ./deploy/scripts/kubernetes.sh >/dev/null

say "restore (locked)"; dotnet restore Calico.sln --locked-mode -v quiet
say "format";           dotnet format Calico.sln --no-restore --verify-no-changes -v quiet
say "build";            dotnet build Calico.sln --no-restore -c Release -v quiet --nologo
say "artifacts";        build_artifacts

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
say "tests${layers:+: ${layers[*]}}"
status=0
dotnet test Calico.Tests --no-build -c Release --nologo --logger "trx;LogFileName=all.trx" --results-directory "$results" \
  ${filter:+--filter "$filter"} --blame-hang-timeout 10m || status=$?
count() { sed -n "s/.*<Counters[^>]* $1=\"\([0-9]*\)\".*/\1/p" "$results/all.trx" | head -1; }
total=$(count total); executed=$(count executed); passed=$(count passed); failed=$(count failed)
echo "${passed:-0} passed, ${failed:-1} failed, $(( ${total:-0} - ${executed:-0} )) skipped"
exit $status
