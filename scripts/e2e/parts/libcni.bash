# The Go library libcni and the reference plugins, of two suites of Debian: 12, which has the library without GC
# and STATUS, and forky, the newest. The driver, scripts/e2e/libcni-driver, is built with either.

# Where all of it is: the drivers, and below `reference` the plugins, each named by its version.
libcni=${CARGO_TARGET_DIR:-$root/target}/e2e-libcni

# libcni_built: sets and exports libraries and references, the versions that there are, oldest first.
libcni_built() {
  libraries='' references=''
  unpacked bookworm-backports golang-1.23-go golang-1.23-src ||
    cannot "no Go compiler: the package golang-1.23-go of bookworm-backports cannot be had"
  mkdir -p "$libcni/reference"
  library bookworm golang-github-appc-cni-dev
  library forky golang-github-appc-cni-dev golang-github-vishvananda-netns-dev golang-golang-x-sys-dev
  [ -n "$libraries" ] || cannot "no libcni: the package golang-github-appc-cni-dev cannot be had"
  reference bookworm
  reference forky
  export libcni libraries references
}

# library SUITE PACKAGE...: builds the driver with the library of that suite.
library() {
  local suite=$1 version tags=''
  unpacked "$@" || return 0
  version=$(version_of "$suite" "$2")
  ! grep -q 'func (c \*CNIConfig) GCNetworkList' \
    "$debian/$suite/usr/share/gocode/src/github.com/containernetworking/cni/libcni/api.go" || tags=gc_and_status
  (
    cd "$root/scripts/e2e/libcni-driver"
    export GO111MODULE=off CGO_ENABLED=0 GOFLAGS='' GOPATH=$debian/$suite/usr/share/gocode \
      GOCACHE=$libcni/cache GOTOOLCHAIN=local
    "$debian/bookworm-backports/usr/lib/go-1.23/bin/go" build -tags "$tags" -o "$libcni/driver-$version" .
  ) || fail "the driver cannot be built with libcni $version"
  libraries+=" $version"
}

reference() {
  local suite=$1 version
  unpacked "$suite" containernetworking-plugins || return 0
  version=$(version_of "$suite" containernetworking-plugins)
  ln -sfn "$debian/$suite/usr/lib/cni" "$libcni/reference/$version"
  references+=" $version"
}

# Of a list of versions as the above, the first or the last.
oldest() { set -- $1 && echo "$1"; }
newest() { set -- $1 && echo "${!#}"; }

# mixed FOLDER DIR[:TYPE,TYPE...]...: a folder for CNI_PATH with links to all plugins of the first DIR, and in
# place of them those of the given types from the DIRs after it.
mixed() {
  local folder=$1 part name
  shift
  mkdir -p "$folder"
  for part in "$@"; do
    case $part in
      *:*) for name in $(tr , ' ' <<<"${part##*:}"); do ln -sfn "${part%:*}/$name" "$folder/$name"; done ;;
      *) for name in "$part"/*; do ln -sfn "$name" "$folder/${name##*/}"; done ;;
    esac
  done
}
