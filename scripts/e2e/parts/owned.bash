# What attachments own on the host.

# owned NETWORK BRIDGE: links, leases, rules, queues and records, one a line; nothing when all is gone. Links
# whose names are in $links_kept are not of attachments.
owned() {
  local network=$1 bridge=$2 kept
  kept=$(printf ' %s ' lo "$bridge" ${links_kept:-})
  # ip complains of links whose other end went just now.
  ip -o link 2>/dev/null | awk -F': ' '{ split($2, name, "@"); print name[1] }' | while read -r link; do
    [[ $kept == *" $link "* ]] || echo "link $link"
  done
  find "/var/lib/cni/networks/$network" -name '*[.:]*' ! -path '*/.*' ! -name 'last_reserved_ip.*' \
    -printf 'lease %f\n' 2>/dev/null || true
  nft list ruleset 2>/dev/null | grep -o "comment \"$network/[^\"]*\"" | sort -u | sed 's/^/nftables /' || true
  # The reference plugins' chains, one for each container.
  nft list ruleset 2>/dev/null | grep -o -E 'chain CNI-(DN-|SN-)?[0-9a-f]{16,}' | sort -u | sed 's/^/iptables /' || true
  { iptables-save -t filter && ip6tables-save -t filter; } 2>/dev/null | grep '^-A CNI-FORWARD' |
    grep -v CNI-ADMIN | sed 's/^/iptables /' || true
  tc qdisc show 2>/dev/null | grep -E 'qdisc (tbf|htb|ingress|clsact)' | sed 's/^/queue /' || true
  find "/var/lib/cni/causeway/$network" /var/lib/cni/results -type f ! -path '*/.*' \
    -printf 'record %f\n' 2>/dev/null || true
}

# nothing_left NETWORK BRIDGE
nothing_left() {
  local left
  left=$(owned "$@")
  [ -z "$left" ] || fail "left behind:"$'\n'"$left"
}
