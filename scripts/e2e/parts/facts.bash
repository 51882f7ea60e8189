# What was verified, as lines of JSON for docs/compatibility.md: client, version, feature, verified, how.
# They go to file descriptor 9, where the script was called with --facts; else nowhere.

# client NAME [VERSION]: which client all that follows is about.
client() {
  client_name=$1
  client_version=${2:-unknown}
}

# feature WHAT: what is verified next. Should the script fail before it says `proven`, the fact is that it did.
feature() {
  feature_now=$1
}

# proven HOW: the feature works, as was seen by this.
proven() {
  good "${feature_now:?}: $1"
  fact true "$1"
  feature_now=''
}

# unproven WHY: the feature that was to be verified was not.
unproven() {
  [ -z "${feature_now:-}" ] || fact false "$1"
  feature_now=''
}

fact() {
  [ -n "${E2E_FACTS:-}" ] || return 0
  printf '{"client":%s,"version":%s,"feature":%s,"verified":%s,"how":%s}\n' \
    "$(json_text "${client_name:?}")" "$(json_text "$client_version")" \
    "$(json_text "$feature_now${E2E_FORM:+ ($E2E_FORM)}")" "$1" "$(json_text "$2")" >&9
}

# A JSON string of one line.
json_text() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "$(printf '%s' "$text" | tr '\n\t' '  ' | tr -d '\000-\037')"
}
