//! The success result on the wire: written in the form that each CNI version asks for, and read
//! back from any of them.
//!
//! Where an older form cannot say something, it is left out as libcni leaves it out; route and
//! interface keys that came with 1.1.0 are left out below it, where libcni lets some slip through.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::{cidr, optional_ip};
use super::error::Error;
use super::keys::section;
use super::result::{AddResult, Dns, Interface, IpConfig, Route};
use super::version::Version;

impl AddResult {
    /// The result in the form of `version`.
    ///
    /// # Errors
    /// [`Error::NoAddress`] below 0.3.0, whose form needs an address; [`Error::Serialize`].
    pub fn render(&self, version: Version) -> Result<Value, Error> {
        serde_json::to_value(self.form(version)?).map_err(unwritable)
    }

    /// The text of [`AddResult::render`], to print on stdout; its keys are in the
    /// specification's order.
    ///
    /// # Errors
    /// As [`AddResult::render`].
    pub fn to_json(&self, version: Version) -> Result<String, Error> {
        serde_json::to_string_pretty(&self.form(version)?).map_err(unwritable)
    }

    /// Reads a result in any version's form; the form shows from the keys, so `cniVersion` may be
    /// absent, as delegated plugins may leave it out.
    ///
    /// Indexes into `interfaces` are not checked, since not every plugin keeps to them.
    ///
    /// # Errors
    /// [`Error::Result`] with the path of the offending key.
    pub fn read(value: &Value) -> Result<Self, Error> {
        section::<AnyForm>(value, &[]).and_then(AnyForm::into_result).map_err(|error| match error {
            Error::Key { path, reason } => Error::Result { path, reason },
            error => error,
        })
    }

    fn form(&self, version: Version) -> Result<Form<'_>, Error> {
        if version < Version::V0_3_0 {
            return self.per_family(version).map(Form::PerFamily);
        }
        let rich = version >= Version::V1_1_0;
        let interfaces = self.interfaces.iter().map(|link| InterfaceForm {
            name: &link.name,
            mac: &link.mac,
            mtu: link.mtu.filter(|_| rich),
            sandbox: &link.sandbox,
            socket_path: if rich { &link.socket_path } else { "" },
            pci_id: if rich { &link.pci_id } else { "" },
        });
        let ips = self.ips.iter().map(|ip| IpForm {
            version: (version < Version::V1_0_0).then_some(match ip.address {
                IpNetwork::V4(_) => "4",
                IpNetwork::V6(_) => "6",
            }),
            interface: ip.interface,
            address: ip.address,
            gateway: ip.gateway,
        });
        let routes = self.routes.iter().map(|route| RouteForm::new(route, rich));
        Ok(Form::Lists(Lists {
            cni_version: version,
            interfaces: interfaces.collect(),
            ips: ips.collect(),
            routes: routes.collect(),
            dns: (version < Version::V1_0_0 || !self.dns.is_empty()).then_some(&self.dns),
        }))
    }

    fn per_family(&self, version: Version) -> Result<PerFamily<'_>, Error> {
        let first = |v4: bool| {
            let ip = self.ips.iter().find(|ip| ip.address.is_ipv4() == v4)?;
            let routes = self.routes.iter().filter(|route| route.dst.is_ipv4() == v4);
            Some(SingleIpForm {
                ip: ip.address,
                gateway: ip.gateway,
                routes: routes.map(|route| RouteForm::new(route, false)).collect(),
            })
        };
        let (ip4, ip6) = (first(true), first(false));
        if ip4.is_none() && ip6.is_none() {
            return Err(Error::NoAddress { version });
        }
        Ok(PerFamily { cni_version: version, ip4, ip6, dns: &self.dns })
    }
}

fn unwritable(source: serde_json::Error) -> Error {
    Error::Serialize { what: "the result", source }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Form<'a> {
    PerFamily(PerFamily<'a>),
    Lists(Lists<'a>),
}

/// 0.1.0 and 0.2.0.
#[derive(Serialize)]
struct PerFamily<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<SingleIpForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<SingleIpForm>,
    dns: &'a Dns,
}

#[derive(Serialize)]
struct SingleIpForm {
    ip: IpNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteForm>,
}

/// 0.3.0 and later.
#[derive(Serialize)]
struct Lists<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: Version,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<InterfaceForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<IpForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<&'a Dns>,
}

#[derive(Serialize)]
struct InterfaceForm<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
    #[serde(rename = "socketPath", skip_serializing_if = "str::is_empty")]
    socket_path: &'a str,
    #[serde(rename = "pciID", skip_serializing_if = "str::is_empty")]
    pci_id: &'a str,
}

#[derive(Serialize)]
struct IpForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<usize>,
    address: IpNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

#[derive(Serialize)]
struct RouteForm {
    dst: IpNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    gw: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advmss: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
}

impl RouteForm {
    /// `rich` is whether the form has the keys that came with 1.1.0.
    fn new(route: &Route, rich: bool) -> Self {
        Self {
            dst: route.dst,
            gw: route.gw,
            mtu: route.mtu.filter(|_| rich),
            advmss: route.advmss.filter(|_| rich),
            priority: route.priority.filter(|_| rich),
            table: route.table.filter(|_| rich),
            scope: route.scope.filter(|_| rich),
        }
    }
}

/// A result as it is read: the keys of every version at once.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AnyForm {
    cni_version: String,
    interfaces: Vec<Interface>,
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
    dns: Dns,
    ip4: Option<SingleIp>,
    ip6: Option<SingleIp>,
}

#[derive(Deserialize)]
struct SingleIp {
    #[serde(deserialize_with = "cidr")]
    ip: IpNetwork,
    #[serde(default, deserialize_with = "optional_ip")]
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<Route>,
}

impl AnyForm {
    /// # Errors
    /// [`Error::Key`] if `cniVersion` is given and unknown.
    pub(super) fn into_result(self) -> Result<AddResult, Error> {
        if !self.cni_version.is_empty() && self.cni_version.parse::<Version>().is_err() {
            return Err(Error::Key {
                path: "cniVersion".to_owned(),
                reason: format!("no result of version {:?} can be read", self.cni_version),
            });
        }
        let mut result = AddResult {
            interfaces: self.interfaces,
            ips: self.ips,
            routes: self.routes,
            dns: self.dns,
        };
        if result.ips.is_empty() {
            for single in [self.ip4, self.ip6].into_iter().flatten() {
                result.ips.push(IpConfig {
                    interface: None,
                    address: single.ip,
                    gateway: single.gateway,
                });
                result.routes.extend(single.routes);
            }
        }
        Ok(result)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn testdata(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/protocol").join(name)
    }

    fn json(name: &str) -> Value {
        serde_json::from_slice(&fs::read(testdata(name)).unwrap()).unwrap()
    }

    /// The files in testdata/protocol/results hold one result in the form of every version.
    #[test]
    fn each_version_has_its_form() {
        let result = AddResult::read(&json("results/1.1.0.json")).unwrap();
        for version in Version::ALL {
            let golden = fs::read_to_string(testdata(&format!("results/{version}.json"))).unwrap();
            assert_eq!(result.to_json(version).unwrap(), golden.trim_end(), "{version}");
            assert_eq!(
                result.render(version).unwrap(),
                serde_json::from_str::<Value>(&golden).unwrap(),
                "{version}"
            );
        }
    }

    #[test]
    fn what_a_form_can_say_survives_reading_it_back() {
        for version in Version::ALL {
            let form = json(&format!("results/{version}.json"));
            let result = AddResult::read(&form).unwrap();
            assert_eq!(result.render(version).unwrap(), form, "{version}");
        }
    }

    #[test]
    fn an_empty_result_has_a_form_from_0_3_0_on() {
        let result = AddResult::default();
        for version in Version::ALL {
            if version < Version::V0_3_0 {
                let error = result.render(version).unwrap_err().to_cni();
                assert_eq!(error.code, 1);
                assert!(error.msg.contains(version.as_str()), "{}", error.msg);
                continue;
            }
            let mut expected = serde_json::json!({"cniVersion": version.as_str()});
            if version < Version::V1_0_0 {
                expected["dns"] = serde_json::json!({});
            }
            assert_eq!(result.render(version).unwrap(), expected);
        }
    }

    #[test]
    fn routes_without_an_address_of_their_family_have_no_place_before_0_3_0() {
        let result = AddResult::read(&serde_json::json!({
            "ips": [{"address": "fd00::5/64"}],
            "routes": [{"dst": "0.0.0.0/0"}],
        }))
        .unwrap();
        assert_eq!(
            result.render(Version::V0_2_0).unwrap(),
            serde_json::json!({"cniVersion": "0.2.0", "ip6": {"ip": "fd00::5/64"}, "dns": {}})
        );
    }

    #[test]
    fn every_form_reads() {
        for case in json("forms/forms.json").as_array().unwrap() {
            let why = case["why"].as_str().unwrap();
            let result =
                AddResult::read(&case["form"]).unwrap_or_else(|error| panic!("{why}: {error}"));
            assert_eq!(result.render(Version::V1_1_0).unwrap(), case["reads"], "{why}");
        }
    }

    #[test]
    fn what_is_no_result_is_refused_with_its_path() {
        for case in json("forms/bad.json").as_array().unwrap() {
            let error = match AddResult::read(&case["form"]) {
                Ok(result) => panic!("{case} reads as {result:?}"),
                Err(error) => error,
            };
            let Error::Result { path, reason } = &error else {
                panic!("{case} gives {error:?}");
            };
            assert_eq!(path, case["path"].as_str().unwrap(), "{case}");
            assert!(reason.contains(case["says"].as_str().unwrap()), "{case}: {reason}");
            assert_eq!(error.to_cni().code, 6);
        }
    }
}
