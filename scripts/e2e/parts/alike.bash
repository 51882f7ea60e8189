# Whether two attachments are alike, as far as plugins, library and runtime have said: what `played` of
# scripts/e2e/libcni has kept of each in a folder.

# What differs from run to run, and must. Texts are then compared without white space, an empty `dns`, which
# libraries before 1.2 print, and without `mtu`, which the reference does not give.
alike() {
  sed -E -e 's/\bveth[0-9a-f]{8}\b/VETH/g' -e 's/02:(88:00:00:00:77|11:22:33:44:55)/asked for/g' \
    -e 's/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/MAC/g' "$1" | tr -d ' \n' |
    sed -E 's/,?"dns":\{\}//g; s/,?"mtu":[0-9]+//g'
  echo
}

# Where the reference fails or prints something else, and why causeway does not: kind, reference, versions, files,
# reason.
excuses=(
  "dual/1.1.1/*/check/the reference's CHECK does not find a route that has no gw"
  "chain/*/0.3.?/*/the reference's firewall speaks no version before 0.4.0"
  "*chain/1.1.1/*/check/the reference's CHECK of portmap looks for IPv4 rules among those of IPv6"
  "ptp/1.1.1/*/check/the reference's CHECK of portmap looks for IPv4 rules among those of IPv6"
  "layer2/*/*/check/the reference's CHECK of bridge fails where there is no ipam"
  "host-device/*/*/check/the reference's CHECK of host-device does not know that sbr moves routes"
  "host-device/*/*/again/the reference's second DEL fails, though the specification wants it to succeed"
  "loopback/*/0.[12].0/add/the reference prints no result in the form of that version"
  "loopback/*/0.[34].?/add/the reference leaves out version, which ips must have before 1.0.0"
)

declare -A used

every_excuse_is_needed() {
  local one
  for one in "${excuses[@]}"; do
    [ -n "${used[$one]:-}" ] || fail "no longer needed: $one"
  done
}

# excused KIND REFERENCE VERSION FILE: sets `excuse`.
excused() {
  local one kind reference versions verb
  for one in "${excuses[@]}"; do
    IFS=/ read -r kind reference versions verb excuse <<<"$one"
    if [[ $1 == $kind && $2 == $reference && $3 == $versions ]]; then
      case $4 in
        $verb | $verb.status | calls/$verb/*) used[$one]=1 && return 0 ;;
        cached) [ "$verb" != add ] || return 0 ;;
      esac
    fi
  done
  return 1
}

# same_texts ONE OTHER KIND REFERENCE VERSION: whatever plugins printed and the library kept. Prints differences
# without an excuse; adds the excuses of others to `differences`.
same_texts() {
  local file excuse differs=0
  while read -r file; do
    cmp -s <(alike "$1/$file" 2>/dev/null) <(alike "$2/$file" 2>/dev/null) && continue
    if excused "$3" "$4" "$5" "$file"; then
      [[ $differences == *"$excuse"* ]] || differences+="${differences:+; }$excuse"
    else
      diff --label "reference $file" --label "causeway $file" -u <(alike "$1/$file") <(alike "$2/$file") || differs=1
    fi
  done < <({ cd "$1"; find . -type f; cd "$2"; find . -type f; } | sed -n -E 's,^\./(calls/.*|add|cached|[a-z]*\.status)$,\1,p' | sort -u)
  return $differs
}
