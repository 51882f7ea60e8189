# Containers called by their numbers, c1 and so on, attached through libcni to one network, $network on $bridge. They
# are namespaces. The plugins are in $bin, the configuration is in $conf, results are kept in /run/results.

bin=/run/bin
conf=/run/net.d

# pods_called_by_number: makes all of it known to the processes that `all` starts.
pods_called_by_number() {
  driver=$libcni/driver-$(newest "$libraries")
  crashed=0
  export network bin conf driver crashed
  export -f runtime attach check detach
  network_configuration
}

network_configuration() {
  mkdir -p $conf
  cat >$conf/10-$network.conflist <<JSON
{
  "cniVersion": "1.0.0",
  "name": "$network",
  "plugins": [
    {
      "type": "bridge", "bridge": "$bridge", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } },
    { "type": "firewall" },
    { "type": "bandwidth", "capabilities": { "bandwidth": true } },
    { "type": "tuning", "sysctl": { "net.ipv4.conf.eth0.arp_filter": "1" } }
  ]
}
JSON
}

# runtime VERB NUMBER: container NUMBER has port 20000 + NUMBER of the host, and every fifth a limited bandwidth.
runtime() {
  local verb=$1 number=$2 bandwidth=''
  ((number % 5)) || bandwidth=', "bandwidth": { "ingressRate": 80000000, "ingressBurst": 8000000, "egressRate": 80000000, "egressBurst": 8000000 }'
  CNI_PATH=$bin CAP_ARGS='{ "portMappings": [{ "hostPort": '$((20000 + number))', "containerPort": 80, "protocol": "tcp" }]'"$bandwidth"' }' \
    "$driver" $verb $conf/10-$network.conflist c$number /run/netns/c$number eth0
}

attach() {
  ip netns add c$1
  runtime add $1 >/run/results/c$1 2>/run/results/c$1.error || {
    echo "c$1: $(cat /run/results/c$1.error)"
    return 1
  }
}

check() { runtime check $1 2>&1 || echo "c$1"; }

# Up to number $crashed, every seventh container's namespace is gone before, as after a crash. A runtime tries a
# failed DEL again.
detach() {
  (($1 % 7 || $1 > crashed)) || ip netns delete c$1
  if ! runtime del $1 2>/run/results/c$1.error; then
    echo "c$1: DEL failed the first time: $(head -1 /run/results/c$1.error)" >>/run/results/retried
    runtime del $1 || return 1
  fi
  rm -f /run/results/c$1 /run/results/c$1.error
  [ ! -e /run/netns/c$1 ] || ip netns delete c$1
}

every_first_time() { [ ! -e /run/results/retried ] || fail "$(cat /run/results/retried)"; }

# all DO NUMBER...: several at a time, as a kubelet does.
all() {
  local do=$1
  shift
  printf '%s\n' "$@" | xargs -P 4 -I{} bash -c "$do {}" || fail "$do: see above"
}

address_of() { sed -n 's/.*"address": "\([0-9.]*\)\/.*/\1/p' /run/results/c$1; }

# Each address that results name stands in one of them only.
no_clash() {
  local twice
  twice=$(sed -n 's/.*"address": "\(.*\)".*/\1/p' /run/results/c* | sort | uniq -d)
  [ -z "$twice" ] || fail "addresses of two containers: $twice"
}

# Numbers in another order, the same each time.
mixed_up() { awk '{ print ($1 * 37) % 101, $1 }' | sort -n | cut -d' ' -f2; }

nothing_is_left() {
  local left
  left=$(
    owned $network $bridge
    ls /run/results | sed 's/^/result /' | grep -v retried || true
    ip -o link | grep -o 'bwp[0-9a-f]*' | sort -u | sed 's/^/ifb /' || true
    nft list ruleset 2>/dev/null | grep -E '10\.88\.0\.|fd00:88::|dport 20[0-9]{3}' || true
    ls /run/cni/tuning /run/netns 2>/dev/null | grep -E 'c[0-9]' | sed 's/^/file /' || true
  )
  [ -z "$left" ] || fail "$1: left behind:"$'\n'"$left"
}
