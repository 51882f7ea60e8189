# Debian packages that a script needs, installed where they are missing.

# need COMMAND:PACKAGE...: installs the packages whose commands are missing. No service is started.
need() {
  local pair log missing=()
  for pair in "$@"; do
    case $pair in
      # Files that are in no command's place stand with their path.
      /*) [ -e "${pair%%:*}" ] || missing+=("${pair##*:}") ;;
      *) command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
    esac
  done
  # Images are made of it, so it must need no libraries.
  [ -z "$(busybox_needs)" ] || missing+=(busybox-static)
  [ "$(id -u)" = 0 ] || cannot "it needs root${missing[*]:+, and: apt-get install ${missing[*]}}"
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing ${missing[*]}" >&2
  # A containerd of the machine's own is not wanted: do not let packages start services.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  log=$(export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update 2>&1 && apt-get -qq install -y --no-install-recommends "${missing[@]}" 2>&1) || {
    echo "$log" >&2
    exit 1
  }
  if [ -n "$(trap -p EXIT)" ]; then
    rm -f $policy
    trap - EXIT
  fi
}

# The libraries that busybox needs, or that it is missing; nothing when it is static.
busybox_needs() {
  local busybox
  busybox=$(command -v busybox) || { echo missing; return; }
  ldd "$busybox" 2>/dev/null | grep '=>' || true
}
