# Calls of a container runtime as kubelet makes them, by scripts/e2e/cri-client.

client_built() {
  step "Building the client"
  local target=${CARGO_TARGET_DIR:-$root/target}/cri-client
  cargo build --quiet --locked --manifest-path "$root/scripts/e2e/cri-client/Cargo.toml" --target-dir "$target"
  cri_client=$(realpath "$target/debug/cri-client")
  export cri_client
}

cri() { "$cri_client" "$@"; }

# run_pod NAME [OPTION]...: sets pod[NAME] to its ID, and ip4, ip6, netns and pid of NAME to its own.
declare -A pod ip4 ip6 netns pid
run_pod() {
  local name=$1
  shift
  pod[$name]=$(cri run-pod "$name" --cgroup "/$E2E_CGROUPS-$name" "$@") || fail "RunPodSandbox of $name"
  look "$name"
}

# look NAME: PodSandboxStatus.
look() {
  local name=$1 word value
  ip4[$name]='' ip6[$name]=''
  while read -r word value; do
    case $word in
      ip) [[ $value == *:* ]] && ip6[$name]+=$value || ip4[$name]+=$value ;;
      netns) netns[$name]=$value ;;
      pid) pid[$name]=$value ;;
      state) [ "$value" = SANDBOX_READY ] || fail "$name is $value" ;;
    esac
  done < <(cri status "${pod[$name]}")
}

# start POD NAME COMMAND...: prints the container's ID.
start() {
  local name=$1 container=$2
  shift 2
  cri start "${pod[$name]}" "$name" "$container" "$image" --cgroup "/$E2E_CGROUPS-$name" -- "$@"
}

# The cgroups of pods are kubelet's to remove, those of containers are not.
remove_cgroups() {
  local left
  left=$(left_cgroups | grep -v "/$E2E_CGROUPS-[^/]*$" || true)
  [ -z "$left" ] || fail "cgroups of containers are left:"$'\n'"$left"
  left_cgroups | xargs -r rmdir
}

# stop_and_remove NAME...
stop_and_remove() {
  local name
  for name in "$@"; do
    cri stop "${pod[$name]}" || fail "StopPodSandbox of $name"
    cri remove "${pod[$name]}" || fail "RemovePodSandbox of $name"
    unset "pod[$name]"
  done
}

# remove_of [NAME]: what kubelet does with pods that it does not ask for any more; without a name, with all.
remove_of() {
  local id state name
  while read -r id state name; do
    [ "$name" = "${1:-$name}" ] || continue
    cri stop "$id" || fail "StopPodSandbox of $name, $state"
    cri remove "$id" || fail "RemovePodSandbox of $name, $state"
  done < <(cri pods)
}

in_pod() { nsenter --net="${netns[$1]}" "${@:2}"; }
