use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::ipam::host_local::{HostLocal, Settings, first_of, ip_config};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    why: String,
    #[serde(default)]
    version: Option<String>,
    ipam: Value,
    #[serde(default)]
    ip_ranges: Option<Value>,
    #[serde(default)]
    sets: Vec<String>,
    #[serde(default)]
    first: Vec<String>,
    #[serde(default)]
    error: String,
}

impl Case {
    fn configure(&self) -> Result<HostLocal, Error> {
        let version = self.version.as_deref().unwrap_or("1.0.0").parse().unwrap();
        HostLocal::configure(Settings {
            network: "net",
            version,
            ipam: &self.ipam,
            ip_ranges: self.ip_ranges.as_ref(),
            requested: Vec::new(),
        })
    }
}

fn cases(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ipam").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn configurations_that_are_accepted() {
    for case in cases("accepted.json") {
        let source = case.configure().unwrap_or_else(|error| panic!("{}: {error}", case.why));
        let sets: Vec<String> = source.sets.iter().map(RangeSet::to_string).collect();
        assert_eq!(sets, case.sets, "{}", case.why);
        let first = |set| {
            let ip = ip_config(set, first_of(set).unwrap()).unwrap();
            format!("{} via {}", ip.address, ip.gateway.unwrap())
        };
        let first: Vec<String> = source.sets.iter().map(first).collect();
        assert_eq!(first, case.first, "{}", case.why);
    }
}

#[test]
fn configurations_that_are_refused() {
    for case in cases("refused.json") {
        let error = case.configure().expect_err(&case.why);
        let text = error.to_string();
        assert!(!case.error.is_empty() && text.contains(&case.error), "{}: {text}", case.why);
        assert_eq!(matches!(error, Error::Key(_)), !case.error.contains("`: "), "{}", case.why);
    }
}

#[test]
fn keys_that_are_not_about_ranges() {
    let of = |ipam: Value| {
        HostLocal::configure(Settings {
            network: "net",
            version: Version::CURRENT,
            ipam: &ipam,
            ip_ranges: None,
            requested: vec!["10.1.0.5".parse().unwrap(), "::ffff:10.1.0.5".parse().unwrap()],
        })
        .unwrap()
    };
    let plain = of(json!({"subnet": "10.1.0.0/24"}));
    assert_eq!(plain.directory(), Path::new("/var/lib/cni/networks/net"));
    assert_eq!(plain.routes, []);
    assert_eq!(plain.resolv_conf, None);
    assert_eq!(plain.requested, ["10.1.0.5".parse::<IpAddr>().unwrap()]);
    let full = of(json!({
        "subnet": "10.1.0.0/24", "dataDir": "/run/leases", "resolvConf": "/etc/r.conf",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.1.0.9"}],
    }));
    assert_eq!(full.directory(), Path::new("/run/leases/net"));
    assert_eq!(full.resolv_conf.as_deref(), Some(Path::new("/etc/r.conf")));
    assert_eq!(full.routes.len(), 2);
    assert_eq!(full.routes[1].gw, Some("10.1.0.9".parse().unwrap()));
}
