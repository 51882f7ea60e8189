# A private host: network, mount and process namespaces of its own, with all state on a tmpfs, in which the
# script runs once more, as `script --inside`. Nothing of it is left when that ends.
# $root is the repository.
#
# Inside, these are set: E2E_PLUGINS, the folder of plugins; E2E_CGROUPS, how the names of all cgroups must
# begin; E2E_FACTS, if facts go to file descriptor 9, which daemons are not to keep.

# options ARGUMENT...: reads --plugins DIR and --facts FILE into E2E_PLUGINS and E2E_FACTS, and keeps what else
# there is in `rest`. With --help, the comment at the script's beginning is printed.
options() {
  rest=() E2E_PLUGINS='' E2E_FACTS=''
  while [ $# -gt 0 ]; do
    case $1 in
      --plugins) E2E_PLUGINS=$(cd "${2:?--plugins needs a folder}" && pwd) && shift ;;
      --facts) E2E_FACTS=$(realpath "${2:?--facts needs a file}") && exec 9>>"$E2E_FACTS" && shift ;;
      --help) usage && exit 0 ;;
      *) rest+=("$1") ;;
    esac
    shift
  done
}

usage() { sed -n '2,/^[^#]/{/^[^#]/!s/^# \{0,1\}//p}' "$0"; }

# The folder of plugins: that of --plugins, else the static binary, built now.
plugins_built() {
  [ -z "$E2E_PLUGINS" ] || return 0
  step "Building the static binary"
  cd "$root"
  E2E_PLUGINS=${CARGO_TARGET_DIR:-target}/e2e
  scripts/release "$E2E_PLUGINS"
  E2E_PLUGINS=$(cd "$E2E_PLUGINS" && pwd)
}

# inside_private_host SECONDS [ARGUMENT...]: runs the script inside, for that many seconds at most. Unless all is
# well, the script ends with its exit code.
inside_private_host() {
  local limit=$1 status=0
  shift
  unshare --net --mount --pid --fork true || cannot "namespaces cannot be made"
  E2E_CGROUPS=causeway-e2e-$$
  export E2E_PLUGINS E2E_CGROUPS E2E_FACTS
  # When the first process of a process namespace ends, the kernel ends all others in it. That it
  # does end, also when this script is interrupted or a client hangs, is seen to here.
  unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash "$root/scripts/e2e/${0##*/}" --inside "$@" </dev/null &
  host=$!
  trap end_host EXIT
  trap 'exit 130' INT TERM
  SECONDS=0
  while kill -0 $host 2>/dev/null; do
    ((SECONDS < limit)) || fail "it hangs: ended after $limit seconds"
    sleep 0.2
  done
  wait $host || status=$?
  [ $status = 0 ] || exit $status
  end_host
  trap - EXIT INT TERM
}

# Cgroups are all that a container leaves that was not ended by its runtime.
end_host() {
  { kill -KILL $host && wait $host; } 2>/dev/null || true
  SECONDS=0
  while [ -n "$(left_cgroups)" ] && ((SECONDS < 5)); do
    left_cgroups | xargs rmdir 2>/dev/null || sleep 0.1
  done
}

left_cgroups() { find /sys/fs/cgroup -depth -type d -path "*/$E2E_CGROUPS*"; }

no_cgroup_left() { [ -z "$(left_cgroups)" ] || fail "cgroups are left:"$'\n'"$(left_cgroups)"; }

# Inside: empty /run and /var/lib/cni; the plugins in /run/plugins, so that they can be replaced.
private_state() {
  mount -t tmpfs tmpfs /run
  mkdir /run/plugins /run/netns /run/lock
  cp -P "$E2E_PLUGINS"/* /run/plugins/
  # The machine must not get that directory.
  [ -d /var/lib/cni ] && mount -t tmpfs tmpfs /var/lib/cni || mount -t tmpfs tmpfs /var/lib
  mkdir -p /var/lib/cni
  ip link set lo up
}

# Inside: empty /opt/cni/bin (with the plugins) and /etc/cni/net.d, for clients that look nowhere else.
usual_places() {
  mount -t tmpfs tmpfs /opt
  mkdir -p /opt/cni/bin
  mount --bind /run/plugins /opt/cni/bin
  if [ ! -d /etc/cni/net.d ]; then
    # The machine must not get that directory.
    mkdir /run/etc /run/work
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc ||
      cannot "an overlay on /etc cannot be mounted"
    mkdir -p /etc/cni/net.d
  fi
  mount -t tmpfs tmpfs /etc/cni/net.d
}
