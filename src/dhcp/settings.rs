//! The `ipam` section of a configuration for dhcp.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::message::option;
use crate::protocol::error::Error;
use crate::protocol::keys::section_at;

/// Where the daemon listens unless `ipam.daemonSocketPath` or its own flag says otherwise.
pub const SOCKET: &str = "/run/cni/dhcp.sock";

/// The longest identifier that fits into an option with its kind before it, in bytes.
const LONGEST_ID: usize = 254;

/// What servers are asked for unless `skipDefault` is set.
const DEFAULT_REQUESTS: [u8; 2] = [option::ROUTER, option::SUBNET_MASK];

/// A key with a wrong value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Wrong {
    /// The key's path, such as `ipam.provide[0].option`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The section, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// The metric of every route; the server's routes have none.
    pub priority: Option<u32>,
    provide: Vec<Provided>,
    requests: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Provided {
    code: u8,
    value: String,
    from_arg: String,
}

/// `ipam`, as far as dhcp reads it.
#[derive(Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Section {
    /// Where the daemon listens; `/run/cni/dhcp.sock` without it.
    daemon_socket_path: Option<String>,
    /// Options to send along. The later of two for one option counts.
    provide: Option<Vec<Provide>>,
    /// Options to ask the server for, besides routers (3) and subnet mask (1).
    request: Option<Vec<Request>>,
    /// The metric of the routes.
    #[cfg_attr(test, schemars(range(min = 0, max = u32::MAX)))]
    priority: Option<i64>,
}

/// An option to send along.
#[derive(Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Provide {
    /// The option: a number, or one of `dhcp-client-identifier`, `subnet-mask`, `routers`,
    /// `host-name`, `user-class`, `vendor-class-identifier`.
    option: String,
    /// Its value.
    value: String,
    /// The name of a key of CNI_ARGS that wins over `value`.
    from_arg: String,
}

/// An option to ask for.
#[derive(Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Request {
    /// Leaves out the usual ones, routers (3) and subnet mask (1).
    skip_default: bool,
    /// The option: a number, or one of `dhcp-client-identifier`, `subnet-mask`, `routers`,
    /// `host-name`, `user-class`, `vendor-class-identifier`.
    option: String,
}

impl Settings {
    /// Reads the section.
    ///
    /// # Errors
    /// [`Wrong`] with the key's path.
    pub fn read(ipam: &Value) -> Result<Self, Wrong> {
        let section: Section = section_at("ipam", ipam, &[]).map_err(|error| match error {
            Error::Key { path, reason } => Wrong { field: path, problem: reason },
            other => Wrong { field: "ipam".into(), problem: other.to_string() },
        })?;
        let mut provide = Vec::new();
        for (place, one) in section.provide.unwrap_or_default().into_iter().enumerate() {
            let code = code(&one.option, || format!("ipam.provide[{place}].option"))?;
            if one.value.len() > usize::from(u8::MAX) {
                return Err(Wrong {
                    field: format!("ipam.provide[{place}].value"),
                    problem: "is longer than the 255 bytes that an option holds".into(),
                });
            }
            provide.push(Provided { code, value: one.value, from_arg: one.from_arg });
        }
        let mut requests = Vec::new();
        let mut skips_default = false;
        for (place, one) in section.request.unwrap_or_default().into_iter().enumerate() {
            skips_default |= one.skip_default;
            if !one.option.is_empty() {
                let code = code(&one.option, || format!("ipam.request[{place}].option"))?;
                requests.extend((!requests.contains(&code)).then_some(code));
            }
        }
        for code in DEFAULT_REQUESTS {
            if !skips_default && !requests.contains(&code) {
                requests.push(code);
            }
        }
        let priority = match section.priority {
            None | Some(0) => None,
            Some(number) => Some(u32::try_from(number).map_err(|_| Wrong {
                field: "ipam.priority".into(),
                problem: format!("{number} is no metric; it must be from 0 to {}", u32::MAX),
            })?),
        };
        let socket = section.daemon_socket_path.filter(|path| !path.is_empty());
        Ok(Self {
            socket: socket.map_or(SOCKET.into(), PathBuf::from),
            priority,
            provide,
            requests,
        })
    }

    /// The options that go along with every message, given CNI_ARGS as written. Of one that is given
    /// twice the later counts, and CNI_ARGS before `value`.
    ///
    /// # Errors
    /// [`Wrong`] for a value that is too long.
    pub fn options(&self, args: &str) -> Result<Vec<(u8, Vec<u8>)>, Wrong> {
        let args: Vec<_> = args.split(';').filter_map(|pair| pair.split_once('=')).collect();
        let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut set = |code: u8, value: &[u8]| {
            options.retain(|(known, _)| *known != code);
            options.push((code, value.to_vec()));
        };
        for one in &self.provide {
            if !one.value.is_empty() {
                set(one.code, one.value.as_bytes());
            }
            let given = args.iter().rfind(|(key, _)| *key == one.from_arg);
            if let Some((key, value)) = given.filter(|(key, _)| !key.is_empty()) {
                if value.len() > usize::from(u8::MAX) {
                    return Err(Wrong {
                        field: format!("CNI_ARGS {key}"),
                        problem: "is longer than the 255 bytes that an option holds".into(),
                    });
                }
                set(one.code, value.as_bytes());
            }
        }
        if !self.requests.is_empty() {
            set(option::REQUEST_LIST, &self.requests);
        }
        Ok(options)
    }
}

/// The number of an option: as it is, or by one of the names that dhcp-options(5) has for it and
/// the reference knows.
fn code(name: &str, field: impl Fn() -> String) -> Result<u8, Wrong> {
    match name {
        "dhcp-client-identifier" => Ok(option::CLIENT_ID),
        "subnet-mask" => Ok(option::SUBNET_MASK),
        "routers" => Ok(option::ROUTER),
        "host-name" => Ok(option::HOST_NAME),
        "user-class" => Ok(option::USER_CLASS),
        "vendor-class-identifier" => Ok(option::CLASS),
        _ => name.parse().map_err(|_| Wrong {
            field: field(),
            problem: format!(
                "{name:?} is no option; give its number from 0 to 255, or one of dhcp-client-identifier, \
                 subnet-mask, routers, host-name, user-class, vendor-class-identifier"
            ),
        }),
    }
}

/// By what a server knows an attachment unless the configuration gives something else:
/// `containerID/network/ifname`, cut where the option ends, which is also by what the reference's
/// daemon knows its leases.
pub fn client_id(container_id: &str, network: &str, ifname: &str) -> String {
    let mut id = format!("{container_id}/{network}/{ifname}");
    let mut end = LONGEST_ID.min(id.len());
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    id.truncate(end);
    id
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(ipam: Value, args: &str) -> Vec<(u8, Vec<u8>)> {
        Settings::read(&ipam).unwrap().options(args).unwrap()
    }

    #[test]
    fn router_and_mask_are_asked_for_by_default() {
        assert_eq!(options(json!({"type": "dhcp"}), ""), [(55, vec![3, 1])]);
        assert_eq!(
            options(json!({"request": [{"option": "121"}, {"option": "routers"}]}), ""),
            [(55, vec![121, 3, 1])]
        );
        assert_eq!(
            options(json!({"request": [{"skipDefault": true}, {"option": "6"}]}), ""),
            [(55, vec![6])]
        );
        assert_eq!(options(json!({"request": [{"skipDefault": true}]}), ""), []);
    }

    #[test]
    fn options_are_given_by_value_or_from_cni_args() {
        let ipam = json!({
            "provide": [
                {"option": "host-name", "value": "fixed", "fromArg": "K8S_POD_NAME"},
                {"option": "77", "value": "class"},
                {"option": "60", "fromArg": "NONE"},
            ],
            "request": [{"skipDefault": true}],
        });
        assert_eq!(
            options(ipam.clone(), "IgnoreUnknown=1;K8S_POD_NAME=web=0"),
            [(12, b"web=0".to_vec()), (77, b"class".to_vec())]
        );
        assert_eq!(options(ipam, ""), [(12, b"fixed".to_vec()), (77, b"class".to_vec())]);
    }

    #[test]
    fn wrong_values_are_named() {
        let wrong = |ipam: Value| Settings::read(&ipam).unwrap_err().to_string();
        let text = wrong(json!({"provide": [{"option": "12"}, {"option": "hostname"}]}));
        assert!(text.starts_with("ipam.provide[1].option: \"hostname\""), "{text}");
        assert!(wrong(json!({"request": [{"option": "256"}]})).contains("ipam.request[0].option"));
        assert!(wrong(json!({"priority": -1})).contains("ipam.priority"));
        assert!(wrong(json!({"provide": "all"})).contains("provide"));
        let long = json!({"provide": [{"option": "12", "value": "x".repeat(256)}]});
        assert!(wrong(long).contains("ipam.provide[0].value"));
        let from_arg = json!({"provide": [{"option": "12", "fromArg": "H"}]});
        let settings = Settings::read(&from_arg).unwrap();
        assert!(settings.options(&format!("H={}", "x".repeat(256))).is_err());
    }

    #[test]
    fn the_client_identifier_is_the_references() {
        assert_eq!(client_id("abc", "net", "eth0"), "abc/net/eth0");
        assert_eq!(client_id(&"x".repeat(300), "net", "eth0").len(), 254);
    }
}
