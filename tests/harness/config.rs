//! Network configurations for tests, as short as what they are about.

use serde_json::{Value, json};

use super::testing_reference;

/// The newest protocol version that the binaries under test speak.
pub fn newest() -> &'static str {
    if testing_reference() { "1.0.0" } else { "1.1.0" }
}

/// Network `testnet` on bridge `br0` with leases of 10.88.0.0/24, and what `more` adds or replaces.
pub fn bridge(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": newest(), "name": "testnet", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"}
    });
    merge(&mut config, more);
    config
}

/// As [`bridge`], with leases of 10.88.0.0/24 and fd00:88::/64 and default routes.
pub fn dual_stack(more: Value) -> Value {
    let mut config = bridge(json!({
        "isDefaultGateway": true,
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }));
    merge(&mut config, more);
    config
}

/// As [`dual_stack`], with everything in use that a bridge attachment can have.
pub fn everything() -> Value {
    dual_stack(json!({"ipMasq": true, "macspoofchk": true, "hairpinMode": true, "mtu": 1400}))
}

/// Network `testnet` of type ptp with leases of 10.88.0.0/24, and what `more` adds or replaces.
pub fn ptp(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": newest(), "name": "testnet", "type": "ptp",
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"}
    });
    merge(&mut config, more);
    config
}

/// As [`ptp`], with leases of 10.88.0.0/24 and fd00:88::/64 and default routes.
pub fn ptp_dual_stack(more: Value) -> Value {
    let mut config = ptp(json!({
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
    }));
    merge(&mut config, more);
    config
}

/// `config` with the keys of `more`; a null takes a key away.
pub fn merge(config: &mut Value, more: Value) {
    let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) else {
        panic!("configurations are objects");
    };
    for (key, value) in more {
        if value.is_null() {
            config.remove(&key);
        } else {
            config.insert(key, value);
        }
    }
}
