# Networks of many kinds, in each version of the specification. $network is their name.

kinds="bridge dual chain layer2 ptp macvlan host-device loopback"

told() {
  case $1 in
    bridge) echo "bridge with host-local" ;;
    dual) echo "bridge with host-local, both families, routes and dns" ;;
    chain) echo "bridge, portmap, firewall, bandwidth, tuning" ;;
    layer2) echo "bridge without addresses, tuning of the interface" ;;
    ptp) echo "ptp with host-local, portmap" ;;
    macvlan) echo "macvlan with static" ;;
    host-device) echo "host-device with static, sbr" ;;
    loopback) echo "loopback" ;;
    single) echo "bridge in a file of its own (.conf)" ;;
  esac
}

# Versions in which a kind has a meaning: before 0.3.0 there is one address of each family, and no interfaces.
speaks() {
  case $1 in
    dual | layer2 | *chain) [ "$2" != 0.1.0 ] && [ "$2" != 0.2.0 ] ;;
    *) true ;;
  esac
}

plugins_of() {
  local both='"ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]'
  local dns='"dns": { "nameservers": ["10.88.0.1"], "domain": "e2e.test", "search": ["e2e.test", "test"], "options": ["ndots:2"] }'
  case $1 in
    bridge | single) echo '{ "type": "bridge", "bridge": "e2e0", "isDefaultGateway": true, "ipMasq": true,
      "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }' ;;
    dual) echo '{ "type": "bridge", "bridge": "e2e0", "isGateway": true, "hairpinMode": true, "mtu": 1400, '"$dns"',
      "ipam": { "type": "host-local", '"$both"',
        "routes": [{ "dst": "198.51.100.0/24" }, { "dst": "203.0.113.0/24", "gw": "10.88.0.9" }, { "dst": "::/0" }] } }' ;;
    foreign-chain) plugins_of chain "$2" | sed 's/"type": "host-local"/"type": "reference-host-local"/' ;;
    chain) echo '{ "type": "bridge", "bridge": "e2e0", "isDefaultGateway": true, "ipMasq": true,
        "capabilities": { "mac": true, "ips": true },
        "ipam": { "type": "host-local", '"$both"' } },
      { "type": "portmap", "capabilities": { "portMappings": true } },
      { "type": "firewall" },
      { "type": "bandwidth", "capabilities": { "bandwidth": true } },
      { "type": "tuning", "sysctl": { "net.ipv4.conf.eth0.arp_filter": "1" } }' ;;
    layer2) echo '{ "type": "bridge", "bridge": "e2e0" },
      { "type": "tuning", "mac": "02:11:22:33:44:55", "mtu": 1300, "promisc": true, "allmulti": true }' ;;
    ptp) echo '{ "type": "ptp", "ipMasq": true, "mtu": 1420, '"$dns"',
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "0.0.0.0/0" }] } },
      { "type": "portmap", "capabilities": { "portMappings": true } }' ;;
    macvlan) echo '{ "type": "macvlan", "master": "up0", "mode": "bridge", "mtu": 1400, '"$dns"',
      "ipam": { "type": "static", "addresses": [{ "address": "10.90.0.5/24", "gateway": "10.90.0.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }] } }' ;;
    host-device) echo '{ "type": "host-device", "device": "up0",
      "ipam": { "type": "static", "addresses": [{ "address": "10.90.0.5/24", "gateway": "10.90.0.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }] } },
      { "type": "sbr" }' ;;
    loopback) echo '{ "type": "loopback" }' ;;
  esac
}

capabilities='{
  "portMappings": [
    { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
    { "hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1" }
  ],
  "bandwidth": { "ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 4000000, "egressBurst": 400000 },
  "mac": "02:88:00:00:00:77"
}'

# list KIND VERSION FILE
list() {
  if [ "$1" = single ]; then
    plugins_of "$1" "$2" | sed "s/{/{ \"cniVersion\": \"$2\", \"name\": \"$network\",/;T;:a;n;ba" >"$3"
  else
    printf '{ "cniVersion": "%s", "name": "%s", "plugins": [ %s ] }\n' "$2" "$network" "$(plugins_of "$1" "$2")" >"$3"
  fi
}
