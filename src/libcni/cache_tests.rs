use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/libcni").join(name)
}

fn owner(network: &str, container_id: &str) -> Owner {
    Owner {
        network: network.to_owned(),
        container_id: container_id.to_owned(),
        ifname: "eth0".to_owned(),
    }
}
