# A machine beside the node, on a wire with it: a namespace that knows no way to containers.

# The node's addresses on the wire, and that machine's.
node4=192.0.2.1 node6=2001:db8::1
beside4=192.0.2.2 beside6=2001:db8::2

# wire: makes both.
wire() {
  ip netns add beside
  ip link add uplink type veth peer name wire netns beside
  ip address add $node4/24 dev uplink
  ip address add $node6/64 dev uplink nodad
  ip link set uplink up
  ip -n beside link set lo up
  ip -n beside address add $beside4/24 dev wire
  ip -n beside address add $beside6/64 dev wire nodad
  ip -n beside link set wire up
}

# beside COMMAND...: runs it on that machine.
beside() { ip netns exec beside "$@"; }
