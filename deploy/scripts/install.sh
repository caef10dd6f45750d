# Sourced by run.sh and test.sh: installs what is missing, builds the runnable programs. Works a second time offline.

say() { printf '%s %s\n' "==>" "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The .NET SDK, from the distribution where it has it.
require_dotnet() {
  if command -v dotnet >/dev/null && dotnet --version >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" = 0 ] && apt-cache show dotnet-sdk-10.0 >/dev/null 2>&1; then
    say "installing dotnet-sdk-10.0"; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dotnet-sdk-10.0 >/dev/null
  else
    die "the .NET SDK of global.json ($(sed -n 's/.*"version": "\(.*\)".*/\1/p' global.json)) is not installed: install dotnet-sdk-10.0 and run this again"
  fi
}

# require_tools run|etcd|containers|tests: Debian packages by the program that each must provide.
require_tools() {
  local missing=() entry program package
  local wanted=(gcc:gcc /usr/include/zlib.h:zlib1g-dev ip:iproute2 nft:nftables ping:iputils-ping bird:bird2 ncat:ncat curl:curl)
  case $1 in etcd | tests) wanted+=(etcd:etcd-server etcdctl:etcd-client) ;; esac
  case $1 in containers | tests) wanted+=(containerd:containerd runc:runc podman:podman umoci:umoci busybox:busybox-static) ;; esac
  [ "$1" != tests ] || wanted+=(jq:jq /usr/lib/cni/bridge:containernetworking-plugins iptables:iptables tcpdump:tcpdump
    /usr/lib/frr/bgpd:frr gobgpd:gobgpd bgpctl:openbgpd exabgp:exabgp)
  for entry in "${wanted[@]}"; do
    program=${entry%%:*} package=${entry#*:}
    case $program in
      /*) [ -e "$program" ] || missing+=("$package") ;;
      *) PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# install_packages NAME...: from the distribution, whose lists a fresh machine may not have yet.
install_packages() {
  [ "$(id -u)" = 0 ] || die "these packages are missing and only root may install them: $* (sudo apt-get install $*)"
  say "installing $*"
  apt-get update -qq >/dev/null || true
  # A package must not start its daemon on this machine: everything runs in namespaces of its own.
  (
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      trap 'rm -f /usr/sbin/policy-rc.d' EXIT
      printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
      chmod +x /usr/sbin/policy-rc.d
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  ) || die "apt-get could not install $*"
}

# Publishes calico-node, calico-cni and calicoctl and leaves them in artifacts/bin/.
build_artifacts() {
  local project
  for project in Cni Node Ctl; do dotnet publish Calico.$project -c Release -r linux-x64 --no-restore -v quiet --nologo; done
  mkdir -p artifacts/bin
  ln -sfn ../publish/Calico.Cni/release_linux-x64/calico-cni artifacts/bin/calico-cni
  ln -sfn ../publish/Calico.Node/release_linux-x64/calico-node artifacts/bin/calico-node
  ln -sfn ../publish/Calico.Ctl/release_linux-x64/calicoctl artifacts/bin/calicoctl
}
