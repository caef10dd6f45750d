#!/usr/bin/env bash
# Calico on this machine, in network namespaces: builds what is missing, then runs the lab.
#   ./run.sh             three nodes on two segments, four pods, their policies, and what it all looks like
#   ./run.sh build       only builds
#   ./run.sh COMMAND …   any command of the lab; ./run.sh --help lists them
set -euo pipefail
cd "$(dirname "$0")"
. ./deploy/scripts/install.sh

usage() {
  cat <<'TEXT'
./run.sh                        a lab of three nodes with a demonstration; it keeps running
./run.sh up [--nodes N] [--datastore embedded|etcd]   only the lab
./run.sh apply -f FILE          Calico resources, Kubernetes Namespaces and NetworkPolicies
./run.sh delete -f FILE         the opposite
./run.sh pod add NAME --node NODE [--namespace NS] [--labels k=v,…] [--listen 80/tcp,53/udp]
./run.sh pod rm NAME            NAME may be NAMESPACE/NAME
./run.sh pod exec NAME -- CMD   runs a program inside a pod's network
./run.sh node kill|start|rm NODE
./run.sh datastore kill|start
./run.sh matrix [--port 80/tcp|53/udp|icmp] [-o json]
./run.sh ctl …                  calicoctl on the lab's datastore
./run.sh status                 nodes, sessions, blocks
./run.sh check                  up, every assertion, down; the exit status tells
./run.sh churn [--nodes 6] [--pods 500] [--minutes 3] [--seed S] [--datastore embedded|etcd]
                                pods come and go while agents, cables and the datastore fail; nothing may be lost or doubled
./run.sh containers             real containers of containerd and podman on two nodes, and what they get
./run.sh down                   removes the lab, whatever state it is in
./run.sh build                  only builds

The lab lives in network namespaces called calico-lab-* and in /run/calico-lab; nothing else is touched. It needs root.
TEXT
}

case "${1:-}" in
  -h | --help | help) usage; exit 0 ;;
esac
[ "${1:-}" = build ] || [ "$(id -u)" = 0 ] || die "the lab needs root, because it makes network namespaces: sudo ./run.sh${*:+ $*}"

# Built before, and no source is newer than the programs.
is_built() {
  local program
  for program in calico-node calico-cni calicoctl; do [ -x "artifacts/bin/$program" ] || return 1; done
  [ -z "$(find . -path ./artifacts -prune -o \( -name '*.cs' -o -name '*.csproj' -o -name '*.props' -o -name '*.proto' \) \
    -newer artifacts/bin/.built -print -quit 2>/dev/null)" ] && [ -e artifacts/bin/.built ]
}

# Taking a lab down must not depend on a compiler.
if [ "${1:-}" != down ] || [ ! -x artifacts/bin/calico-node ]; then
  if ! is_built; then
    require_dotnet
    require_tools run
    say "building calico-node, calico-cni and calicoctl"
    stamp=$(mktemp)
    dotnet restore Calico.sln -v quiet >&2
    build_artifacts >&2
    mv "$stamp" artifacts/bin/.built
  fi
fi
[ "${1:-}" = build ] && exit 0
[ "${1:-}" != containers ] || require_tools containers
case " ${1:-} $* " in " churn "* | *" etcd "* | *"=etcd "*) require_tools etcd ;; esac
exec artifacts/bin/calico-node lab "$@"
