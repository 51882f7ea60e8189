# How fast bytes flow into and out of a pod; in_pod (parts/kubelet.bash) runs what looks.

# The kernel's count of bytes that NAME's eth0 has received or sent: rx or tx.
count() { in_pod "$1" cat /proc/net/dev | awk -v column=$([ "$2" = rx ] && echo 2 || echo 10) '/eth0:/ { print $column }'; }

# speed NAME DIRECTION SECONDS: megabits a second.
speed() {
  local begin=${EPOCHREALTIME/[.,]/} first
  first=$(count "$1" "$2")
  sleep "$3"
  echo $((($(count "$1" "$2") - first) * 8 / (${EPOCHREALTIME/[.,]/} - begin)))
}

# rate NAME DIRECTION ASKED: megabits a second, once the burst is used up. The runtime asks for a burst of 2^32
# bits, so the first half a gigabyte has no limit.
rate() {
  local begin=$SECONDS
  until [ "$(count "$1" "$2")" -gt 500000000 ] && roughly "$3" "$(speed "$1" "$2" 1)"; do
    ((SECONDS - begin < 30)) || break
    sleep 0.2
  done
  speed "$1" "$2" 3
}

# roughly ASKED FOUND: a fifth more at most, and half at least: TCP does not use all of what it may.
roughly() { (($2 * 2 >= $1 && $2 * 5 <= $1 * 6)); }

# listens -lt|-lu PORT COMMAND...: whether there is a server on that port, where that command looks.
listens() { [ -n "$("${@:3}" ss -Hn "$1" "sport = :$2")" ]; }

# sink COMMAND...: takes bytes from one connection to port 9000, and forgets them; run by that command.
sink() {
  "$@" perl -MIO::Socket::INET -e '
    my $socket = IO::Socket::INET->new(Listen => 1, LocalPort => 9000) or die;
    my $from = $socket->accept; my $bytes; while (sysread($from, $bytes, 1 << 20)) {}' 9>&- &
  within_ten_seconds listens -lt 9000 "$@" || fail "nothing listens on port 9000"
}
