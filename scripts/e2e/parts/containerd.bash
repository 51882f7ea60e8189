# A containerd of the private host's own, below /run/containerd-e2e.

containerd_home=/run/containerd-e2e

# containerd_config [LINE]: writes the configuration, with that line on top and the tables on stdin at the end.
# Calls of ctr go to it from then on.
containerd_config() {
  mkdir -p $containerd_home
  {
    cat <<TOML
version = 2
${1:-}
root = "$containerd_home/root"
state = "$containerd_home/state"

[grpc]
  address = "$containerd_home/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "$containerd_home/opt"
TOML
    cat
  } >$containerd_home/config.toml
  export CONTAINERD_ADDRESS=$containerd_home/containerd.sock CONTAINERD_SNAPSHOTTER=native
}

# Starts containerd, and waits until it answers.
start_containerd() {
  containerd --config $containerd_home/config.toml >>$containerd_home/log 2>&1 9>&- &
  containerd=$!
  local begin=$SECONDS
  until timeout 2 ctr version >/dev/null 2>&1; do
    if ! kill -0 "$containerd" 2>/dev/null || ((SECONDS - begin > 20)); then
      tail -n 20 $containerd_home/log | indent >&2
      cannot "containerd did not come up; its log is above"
    fi
    sleep 0.1
  done
}

end_containerd() {
  kill "$containerd"
  wait "$containerd" || fail "containerd ended with exit code $?"
  good "containerd has ended"
}

containerd_version() { containerd --version | awk '{ print $3 }'; }

# A container without a network: whether runc can do anything here.
containers_start() {
  local probe
  if ! probe=$(timeout 60 ctr run --rm --null-io --cgroup "/$E2E_CGROUPS-probe" "$image" probe true 2>&1); then
    echo "$probe" | indent >&2
    cannot "runc starts no container, even without a network"
  fi
  good "a container without a network runs"
}
