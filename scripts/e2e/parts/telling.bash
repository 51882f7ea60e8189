# What a script says to the person who runs it, and how it ends. $0 is that script.

step() { printf '\n== %s\n' "$*"; }
good() { printf 'ok   %s\n' "$*"; }
indent() { sed 's/^/  /'; }

# Something does not work as it should.
fail() {
  unproven "failed: $*"
  echo "scripts/e2e/${0##*/}: $*" >&2
  exit 1
}

# The client cannot run here at all, plugins or not.
cannot() {
  unproven "not run: $*"
  echo "scripts/e2e/${0##*/}: it cannot run here: $*" >&2
  exit 77
}

# within_ten_seconds COMMAND...: runs it until it succeeds; fails if it does not in that time.
within_ten_seconds() {
  local begin=$SECONDS
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - begin <= 10)) || return 1
    sleep 0.1
  done
}

# What failed without words of its own.
unexpected() {
  [ "$BASH_SUBSHELL" != 0 ] || unproven "failed: $2"
  echo "scripts/e2e/${0##*/}: line $1 failed: $2" >&2
}
trap 'unexpected "$LINENO" "$BASH_COMMAND"' ERR
