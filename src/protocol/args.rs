//! CNI_ARGS: what a runtime or a person adds to one call, as `KEY=value;KEY=value`.

use std::net::IpAddr;

use thiserror::Error;

use super::address::{AddressError, RequestedIp};

/// CNI_ARGS, read (spec 1.1.0, section 2, "Parameters"; CONVENTIONS, "CNI_ARGS").
///
/// An empty value means the same as an absent key. Of a key given twice the later one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// `IP`: addresses to give the attachment, separated by commas.
    pub ips: Vec<RequestedIp>,
    /// `MAC`: the hardware address to give the interface, as written.
    pub mac: Option<String>,
    /// `GATEWAY`: gateways for the addresses of [`Args::ips`], separated by commas.
    pub gateways: Vec<IpAddr>,
    /// `IgnoreUnknown`: whether keys that no one knows are left alone.
    pub ignore_unknown: bool,
    /// What Kubernetes says about the pod.
    pub kubernetes: Kubernetes,
    /// Keys that no one knows, in order; filled only if [`Args::ignore_unknown`].
    pub other: Vec<(String, String)>,
}

/// The pod that an attachment is for; containerd and CRI-O give it with every call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// `K8S_POD_NAMESPACE`.
    pub pod_namespace: Option<String>,
    /// `K8S_POD_NAME`.
    pub pod_name: Option<String>,
    /// `K8S_POD_INFRA_CONTAINER_ID`: the sandbox's container ID.
    pub infra_container_id: Option<String>,
    /// `K8S_POD_UID`.
    pub pod_uid: Option<String>,
}

/// What can be wrong with CNI_ARGS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArgsError {
    /// A piece between two semicolons is not one key, one `=` and one value.
    #[error("CNI_ARGS: {pair:?} is not of the form KEY=value")]
    Pair {
        /// The offending piece.
        pair: String,
    },
    /// A value that must be an address is not.
    #[error("CNI_ARGS: in {pair:?}, {problem}")]
    Address {
        /// The offending piece.
        pair: String,
        /// Value and rule.
        problem: AddressError,
    },
    /// `IgnoreUnknown` is neither true nor false.
    #[error("CNI_ARGS: in {pair:?}, the value must be 1, true, 0 or false")]
    Flag {
        /// The offending piece.
        pair: String,
    },
    /// There are keys that no one knows.
    #[error(
        "CNI_ARGS: no plugin here knows {}; remove it, or add IgnoreUnknown=1 to let such keys pass", quoted(.pairs)
    )]
    Unknown {
        /// Every offending piece.
        pairs: Vec<String>,
    },
}

fn quoted(pairs: &[String]) -> String {
    let quoted: Vec<String> = pairs.iter().map(|pair| format!("{pair:?}")).collect();
    quoted.join(", ")
}

impl Args {
    /// Reads the text of CNI_ARGS; the empty text gives empty [`Args`].
    ///
    /// Keys are matched by case, as the reference plugins do.
    ///
    /// # Errors
    /// [`ArgsError`] for a piece that is not a pair, a value that is not of its key's form, and
    /// for unknown keys unless `IgnoreUnknown` is set anywhere in the text.
    pub fn parse(text: &str) -> Result<Self, ArgsError> {
        let mut args = Self::default();
        if text.is_empty() {
            return Ok(args);
        }
        for pair in text.split(';') {
            let wrong = || ArgsError::Pair { pair: pair.to_owned() };
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            if key.is_empty() || value.contains('=') {
                return Err(wrong());
            }
            match key {
                "IP" => args.ips = addresses(pair, value)?,
                "GATEWAY" => {
                    let gateways: Vec<RequestedIp> = addresses(pair, value)?;
                    if gateways.iter().any(|gateway| gateway.prefix.is_some()) {
                        return Err(ArgsError::Address {
                            pair: pair.to_owned(),
                            problem: AddressError::Address { given: value.to_owned() },
                        });
                    }
                    args.gateways = gateways.iter().map(|gateway| gateway.address).collect();
                }
                "MAC" => args.mac = some(value),
                "IgnoreUnknown" => args.ignore_unknown = flag(pair, value)?,
                "K8S_POD_NAMESPACE" => args.kubernetes.pod_namespace = some(value),
                "K8S_POD_NAME" => args.kubernetes.pod_name = some(value),
                "K8S_POD_INFRA_CONTAINER_ID" => args.kubernetes.infra_container_id = some(value),
                "K8S_POD_UID" => args.kubernetes.pod_uid = some(value),
                _ => args.other.push((key.to_owned(), value.to_owned())),
            }
        }
        if !args.ignore_unknown && !args.other.is_empty() {
            let pairs = args.other.into_iter();
            return Err(ArgsError::Unknown {
                pairs: pairs.map(|(key, value)| format!("{key}={value}")).collect(),
            });
        }
        Ok(args)
    }
}

fn some(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn addresses(pair: &str, value: &str) -> Result<Vec<RequestedIp>, ArgsError> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    value
        .split(',')
        .map(|item| {
            item.trim()
                .parse()
                .map_err(|problem| ArgsError::Address { pair: pair.to_owned(), problem })
        })
        .collect()
}

fn flag(pair: &str, value: &str) -> Result<bool, ArgsError> {
    if value == "1" || value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value == "0" || value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(ArgsError::Flag { pair: pair.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(Args::parse("").unwrap(), Args::default());
        assert_eq!(Args::parse("IP=;MAC=;GATEWAY=;K8S_POD_NAME=").unwrap(), Args::default());
    }

    #[test]
    fn what_containerd_gives() {
        let args = Args::parse(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;\
             K8S_POD_INFRA_CONTAINER_ID=0f3c;K8S_POD_UID=6a1b-22",
        )
        .unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            args,
            Args {
                ignore_unknown: true,
                kubernetes: Kubernetes {
                    pod_namespace: text("default"),
                    pod_name: text("web-0"),
                    infra_container_id: text("0f3c"),
                    pod_uid: text("6a1b-22"),
                },
                ..Args::default()
            }
        );
    }

    #[test]
    fn well_known_keys_need_no_ignore_unknown() {
        let args = Args::parse(
            "IP=10.1.0.5/24, fd00::5;MAC=c2:11:22:33:44:55;GATEWAY=10.1.0.1,fd00::1;K8S_POD_UID=u",
        )
        .unwrap();
        assert_eq!(args.ips, ["10.1.0.5/24".parse().unwrap(), "fd00::5".parse().unwrap()]);
        assert_eq!(args.mac.as_deref(), Some("c2:11:22:33:44:55"));
        assert_eq!(
            args.gateways,
            ["10.1.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]
        );
        assert!(!args.ignore_unknown);
    }

    #[test]
    fn ignore_unknown_counts_wherever_it_stands() {
        for (value, ignored) in [
            ("1", true),
            ("true", true),
            ("True", true),
            ("TRUE", true),
            ("0", false),
            ("false", false),
            ("FALSE", false),
        ] {
            let parsed = Args::parse(&format!("A=1;B=;IgnoreUnknown={value}"));
            if ignored {
                let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
                assert_eq!(parsed.unwrap().other, [owned("A", "1"), owned("B", "")]);
            } else {
                assert_eq!(
                    parsed,
                    Err(ArgsError::Unknown { pairs: vec!["A=1".to_owned(), "B=".to_owned()] })
                );
            }
        }
    }

    #[test]
    fn the_later_of_two_counts() {
        let args = Args::parse("IP=10.1.0.5;IP=10.1.0.6").unwrap();
        assert_eq!(args.ips, ["10.1.0.6".parse().unwrap()]);
    }

    #[test]
    fn every_error_names_the_variable_and_the_pair() {
        for (text, pair) in [
            ("IP", "\"IP\""),
            ("=x", "\"=x\""),
            ("MAC=a=b", "\"MAC=a=b\""),
            ("MAC=a;", "\"\""),
            (";MAC=a", "\"\""),
            ("IP=10.1.0.5;IP=10.1.0.500", "\"IP=10.1.0.500\""),
            ("IP=10.1.0.5,", "\"IP=10.1.0.5,\""),
            ("IP=10.1.0.5/33", "\"IP=10.1.0.5/33\""),
            ("GATEWAY=10.1.0.1/24", "\"GATEWAY=10.1.0.1/24\""),
            ("GATEWAY=here", "\"GATEWAY=here\""),
            ("IgnoreUnknown=yes", "\"IgnoreUnknown=yes\""),
            ("IgnoreUnknown=", "\"IgnoreUnknown=\""),
            ("ip=10.1.0.5", "\"ip=10.1.0.5\""),
            ("ignoreunknown=1", "\"ignoreunknown=1\""),
        ] {
            let message = Args::parse(text).unwrap_err().to_string();
            assert!(
                message.starts_with("CNI_ARGS: ") && message.contains(pair),
                "{text}: {message}"
            );
        }
    }
}
