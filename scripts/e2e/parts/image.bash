# An image made of busybox, so that none is downloaded.

image=localhost/e2e:latest

# make_image FILE.tar: an archive of one image with one layer, as the OCI image specification wants it.
make_image() {
  local made=${1%.tar} layer config manifest applet
  mkdir -p "$made/blobs/sha256" "$made/layer"/{bin,etc,proc,sys,dev,tmp}
  cp "$(command -v busybox)" "$made/layer/bin/busybox"
  for applet in sh sleep true ping ip nc dd cat hostname httpd wget; do
    ln -s busybox "$made/layer/bin/$applet"
  done
  tar -C "$made/layer" --owner=0 --group=0 --numeric-owner -cf "$made/blob" .
  layer=$(store "$made")
  # What it runs unless told otherwise is all that a pod's first container has to do.
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["/bin/sleep","3600"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$layer" >"$made/blob"
  config=$(store "$made")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(descriptor "$made" image.config.v1+json "$config")" \
    "$(descriptor "$made" image.layer.v1.tar "$layer")" >"$made/blob"
  manifest=$(store "$made")
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(descriptor "$made" image.manifest.v1+json "$manifest" \
    ",\"annotations\":{\"io.containerd.image.name\":\"$image\",\"org.opencontainers.image.ref.name\":\"$image\"}")" >"$made/index.json"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$made/oci-layout"
  tar -C "$made" -cf "$1" oci-layout index.json blobs
}

# Moves DIR/blob to the name that its contents give it; prints that name.
store() {
  local sum
  sum=$(sha256sum "$1/blob" | cut -d' ' -f1)
  mv "$1/blob" "$1/blobs/sha256/$sum"
  echo "$sum"
}

# descriptor DIR TYPE SUM [MORE]
descriptor() {
  printf '{"mediaType":"application/vnd.oci.%s","digest":"sha256:%s","size":%s%s}' \
    "$2" "$3" "$(stat -c %s "$1/blobs/sha256/$3")" "${4:-}"
}
