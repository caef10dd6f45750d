#!/usr/bin/env bash
# Builds Kubernetes' API server from the distribution's source package, for the test layer "kubernetes".
#   deploy/scripts/kubernetes.sh                builds kube-apiserver, once, and prints where it is
#   deploy/scripts/kubernetes.sh kubectl ...    builds these programs of the same source as well
# Everything is kept in $CALICO_KUBERNETES_DIR (default: ~/.cache/calico/kubernetes), outside the repository; a second
# run finds it there. Needs root once, for the compiler; takes about eight minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/install.sh"

cache=${CALICO_KUBERNETES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/calico/kubernetes}
programs=(kube-apiserver "$@")
go=/usr/lib/go-1.19/bin/go
reflect2="$cache/gopath/src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2"

# The compiler that this release wants, and what unpacks a source package.
require_compiler() {
  local missing=()
  [ -x "$go" ] || missing+=(golang-1.19-go)
  command -v dpkg-source >/dev/null || missing+=(dpkg-dev)
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# The machine's own package sources, asked for source packages, in lists of our own: the machine's stay as they are.
fetch_source() {
  local apt="$cache/apt" options file
  rm -rf "$apt" "$cache"/src.tmp
  mkdir -p "$apt/lists/partial" "$apt/parts" "$cache/src.tmp"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/$(basename "$file")"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$apt/parts/$(basename "$file" .list)-src.list"
  done
  options=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" -o Dir::State::lists="$apt/lists"
    -o APT::Sandbox::User=root)
  say "fetching the source of kubernetes"
  apt-get "${options[@]}" update -qq
  (cd "$cache/src.tmp" && apt-get "${options[@]}" source -qq kubernetes >/dev/null)
  rm -rf "$apt" "$cache/gopath"
  mkdir -p "$cache/gopath/src/k8s.io"
  mv "$cache"/src.tmp/kubernetes-*/ "$cache/gopath/src/k8s.io/kubernetes"
  rm -rf "$cache/src.tmp"
}

# The release's own copy of this library walks maps the way compilers before 1.18 laid them out: built with the one that
# there is, the server dies of its first custom resource. The distribution has a newer one in a package of its own.
renew_reflect2() {
  [ -e "$reflect2/go_above_118.go" ] && return
  local package="$cache/reflect2.tmp"
  say "renewing reflect2"
  rm -rf "$package"
  mkdir -p "$package"
  (cd "$package" && apt-get -o APT::Sandbox::User=root download -qq golang-github-modern-go-reflect2-dev && dpkg-deb -x ./*.deb .)
  rm -rf "$reflect2"
  cp -r "$package/usr/share/gocode/src/github.com/modern-go/reflect2" "$reflect2"
  rm -rf "$package"
}

# The package has no generated API description; the generator is among the vendored sources.
generate_openapi() {
  [ -e pkg/generated/openapi/zz_generated.openapi.go ] && return
  say "generating pkg/generated/openapi"
  "$go" build -o "$cache/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local packages
  packages=$(grep -rl --include='*.go' '^// +k8s:openapi-gen=' cmd pkg staging/src/k8s.io \
    | grep -v -e /code-generator/ -e /sample-apiserver/ | xargs -n1 dirname | LC_ALL=C sort -u \
    | sed -e 's#^staging/src/#k8s.io/kubernetes/vendor/#' -e 's#^\(cmd\|pkg\)/#k8s.io/kubernetes/\1/#' | paste -sd,)
  "$cache/openapi-gen" -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$cache/violations"
}

build() {
  local program version
  cd "$cache/gopath/src/k8s.io/kubernetes"
  export GO111MODULE=off GOPATH="$cache/gopath" GOCACHE="$cache/gocache" GOFLAGS= CGO_ENABLED=0
  # The generator wants to find gofmt.
  export PATH="$(dirname "$go"):$PATH"
  generate_openapi
  local linked=k8s.io/kubernetes/vendor/k8s.io/component-base/version
  version=$(sed -n '1s/.*(\([0-9.]*\).*really\([0-9.]*\)-.*/\2/p' debian/changelog)
  for program in "${programs[@]}"; do
    [ -x "$cache/bin/$program" ] && continue
    say "building $program $version"
    "$go" build -o "$cache/bin/$program.tmp" \
      -ldflags "-s -w -X $linked.gitVersion=v$version -X $linked.gitMajor=1 -X $linked.gitMinor=20" \
      "./cmd/$program"
    mv "$cache/bin/$program.tmp" "$cache/bin/$program"
  done
}

mkdir -p "$cache/bin"
exec 9>"$cache/lock"
flock 9
missing=0
# Built from the library as it was.
[ ! -d "$reflect2" ] || [ -e "$reflect2/go_above_118.go" ] || rm -f "$cache"/bin/*
for program in "${programs[@]}"; do [ -x "$cache/bin/$program" ] || missing=1; done
if [ $missing = 1 ]; then
  require_compiler
  [ -e "$cache/gopath/src/k8s.io/kubernetes/debian/changelog" ] || fetch_source
  renew_reflect2
  (build)
fi
for program in "${programs[@]}"; do echo "$cache/bin/$program"; done
