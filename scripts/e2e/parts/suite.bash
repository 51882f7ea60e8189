# Programs of another suite of Debian, in a folder of their own; nothing is installed.

# of_suite SUITE PACKAGE...: downloads and unpacks these packages, and puts their programs first in PATH. apt
# checks them against the lists that Debian has signed.
of_suite() {
  local suite=$1 package place
  shift
  place=${CARGO_TARGET_DIR:-$root/target}/suites/$suite
  mkdir -p "$place"/{lists,cache,packages}
  place=$(cd "$place" && pwd)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
    >"$place/sources.list"
  cat >"$place/apt.conf" <<CONF
Dir::Etc::sourcelist "$place/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$place/lists";
Dir::Cache "$place/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
CONF
  (
    export APT_CONFIG="$place/apt.conf"
    [ -n "$(ls "$place/lists"/*Packages* 2>/dev/null)" ] || apt-get -qq update
    cd "$place/packages"
    for package in "$@"; do
      [ -d "$package" ] && continue
      rm -f "$package"_*.deb
      # root downloads: the user that apt would use may not write here.
      apt-get -qq -o APT::Sandbox::User=root download "$package" || exit 1
      dpkg-deb --extract "$package"_*.deb "$package"
    done
  ) || fail "packages of $suite cannot be had: $*"
  for package in "$@"; do
    PATH=$place/packages/$package/usr/bin:$place/packages/$package/usr/sbin:$PATH
  done
}
