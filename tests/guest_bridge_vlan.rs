//! VLANs of the bridge plugin.
mod harness;
use harness::Host;

#[test]
fn can() {
    let host = Host::new();
    assert!(host.has_vlan_filtering());
}
