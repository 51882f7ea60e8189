//! Kinds of links that a kernel may lack: what lacks is named, and nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::merge;
use harness::refusal::{MISSING_FEATURE, refuse_late};
use harness::uplink::{fixed, network, uplink};
use serde_json::json;

/// Each kind works or is missing, as ip(8) finds.
#[test]
fn a_kind_works_or_is_named_as_missing() {
    if harness::testing_reference() {
        return;
    }
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    for (name, link, module) in [
        ("macvlan", "link up0 type macvlan mode bridge", "macvlan"),
        ("ipvlan", "link up0 type ipvlan", "ipvlan"),
        ("vlan", "link up0 type vlan id 100", "8021q"),
        ("dummy", "type dummy", "dummy"),
    ] {
        let plugin = Plugin::Causeway(name);
        let mut config = network(plugin, json!({"ipam": fixed()}));
        if name == "vlan" {
            merge(&mut config, json!({"vlanId": 100}));
        }
        let call = pod.call(plugin, &config);
        if host.succeeds(&format!("ip link add probe {link}")) {
            host.run("ip link del probe");
            call.check(&call.add()).silence();
            call.del();
        } else {
            let words = ["kernel lacks", module, "eth0"];
            let error = refuse_late(&pod, &call, "ADD", &[MISSING_FEATURE], &words);
            assert!(error.details.contains("load its module"), "{error:?}");
        }
    }
}
