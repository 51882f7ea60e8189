# Packages of Debian's suites, also of others than the running one: unpacked into a folder and not installed, so
# that nothing of the machine changes. They are fetched once.

debian=${CARGO_TARGET_DIR:-$root/target}/e2e-debian

# unpacked SUITE PACKAGE...: has them in $debian/SUITE; fails when they cannot be had.
unpacked() {
  local suite=$1 place=$debian/$1 package missing=() options
  shift
  for package in "$@"; do
    [ -e "$place/.versions/$package" ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "fetching ${missing[*]} of Debian's $suite" >&2
  rm -rf "$place/.apt"
  mkdir -p "$place"/{.versions,.apt/lists/partial,.apt/archives/partial}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
    >"$place/.apt/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$place/.apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$place/.apt/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$place/.apt"
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o APT::Sandbox::User=root)
  (cd "$place/.apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download "${missing[@]}") >&2 ||
    return 1
  for package in "${missing[@]}"; do
    dpkg-deb -x "$place/.apt/$package"_*.deb "$place" || return 1
    dpkg-deb -f "$place/.apt/$package"_*.deb Version >"$place/.versions/$package"
  done
  rm -rf "$place/.apt"
}

# version_of SUITE PACKAGE: as its authors call it, such as 1.9.1 for 1.9.1+ds1-1.
version_of() { sed -E 's/^[0-9]+://; s/[-+~].*//' "$debian/$1/.versions/$2"; }
