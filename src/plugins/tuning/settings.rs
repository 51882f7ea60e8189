//! The keys of a `tuning` configuration, all those of the reference plugin's release 1.9.1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::key::SysctlKey;
use crate::kernel::link::Attributes;
use crate::kernel::mac::Mac;
use crate::plugins::{Error, requested_mac};
use crate::protocol::config::{repeated_key, section, section_at};
use crate::protocol::request::Request;

/// Where the reference plugin keeps what interfaces were like.
const DATA_DIR: &str = "/run/cni/tuning";

/// Smallest MTU of an Ethernet link and largest of any, that of `lo`, in bytes (`ETH_MIN_MTU`;
/// drivers/net/loopback.c).
const MTU: std::ops::RangeInclusive<i64> = 68..=65536;

/// The keys that stand both in the configuration and in `args.cni`, where they win.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Sysctls below `net`, in the container's namespace. Dots and slashes both separate; the first
    /// `IFNAME` in a name stands for CNI_IFNAME.
    sysctl: BTreeMap<String, String>,
    /// The interface's hardware address. CNI_ARGS `MAC`, then the capability `mac`, then
    /// `args.cni.mac` win over it.
    mac: Option<String>,
    /// `true` turns promiscuous mode on.
    promisc: Option<bool>,
    /// Bytes, 68 to 65536; 0 leaves it as it is.
    #[cfg_attr(test, schemars(range(min = 0, max = *MTU.end())))]
    mtu: Option<i64>,
    /// Whether every multicast packet is taken.
    allmulti: Option<bool>,
    /// The length of the transmit queue, in packets.
    #[cfg_attr(test, schemars(range(min = 0, max = u32::MAX)))]
    tx_q_len: Option<i64>,
    /// Where backup files are kept; `/run/cni/tuning` without it. Only in the configuration.
    data_dir: Option<String>,
}

/// A sysctl that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it stands, for errors: `sysctl` or `args.cni.sysctl`.
    pub section: &'static str,
    /// Its name as written.
    pub key: SysctlKey,
    /// The value.
    pub value: String,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The sysctls in the order of their paths.
    pub sysctls: Vec<Wanted>,
    /// Attributes of the interface.
    pub link: Attributes,
    /// The directory of backup files; absolute.
    pub data_dir: PathBuf,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let config = &request.config;
        let own: Keys = section(&config.value, &[])?;
        let args: Keys = match config.cni_args_value() {
            Some(args) => section_at("args.cni", args, &[])?,
            None => Keys::default(),
        };
        if let Some(key) = repeated_key(&config.stdin, "sysctl") {
            return Err(Error::config(
                format!("sysctl[\"{key}\"]"),
                "stands there twice, and which of the two counts is anybody's guess: remove one",
            ));
        }
        let data_dir = own.data_dir.filter(|path| !path.is_empty());
        let data_dir = PathBuf::from(data_dir.unwrap_or_else(|| DATA_DIR.to_owned()));
        if !data_dir.is_absolute() {
            return Err(Error::config(
                "dataDir",
                format!("must be an absolute path, but is \"{}\"", data_dir.display()),
            ));
        }
        let either = |name: &str, own: Option<i64>, args: Option<i64>| match args {
            Some(number) => (format!("args.cni.{name}"), Some(number)),
            None => (name.to_owned(), own),
        };
        let link = Attributes {
            mac: mac(request, own.mac.as_deref(), args.mac.as_deref())?,
            promisc: args.promisc.or(own.promisc),
            mtu: mtu(either("mtu", own.mtu, args.mtu))?,
            allmulti: args.allmulti.or(own.allmulti),
            tx_queue_len: queue(either("txQLen", own.tx_q_len, args.tx_q_len))?,
        };
        Ok(Self { sysctls: sysctls(own.sysctl, args.sysctl)?, link, data_dir })
    }
}

/// The hardware address from the last of these that gives one: the configuration, CNI_ARGS, the
/// capability, `args.cni`, where an empty one means none at all.
fn mac(request: &Request, own: Option<&str>, args: Option<&str>) -> Result<Option<Mac>, Error> {
    match args {
        Some(mac) => requested_mac::first([("args.cni.mac", Some(mac))]),
        None => requested_mac::first([
            ("runtimeConfig.mac", request.config.runtime.mac.as_deref()),
            ("MAC in CNI_ARGS", request.args.mac.as_deref()),
            ("mac", own),
        ]),
    }
}

fn mtu((field, mtu): (String, Option<i64>)) -> Result<Option<u32>, Error> {
    let Some(mtu) = mtu.filter(|mtu| *mtu != 0) else { return Ok(None) };
    u32::try_from(mtu).ok().filter(|_| MTU.contains(&mtu)).map(Some).ok_or_else(|| {
        let (least, most) = (MTU.start(), MTU.end());
        Error::config(field, format!("{mtu} is not between {least} and {most} bytes"))
    })
}

fn queue((field, length): (String, Option<i64>)) -> Result<Option<u32>, Error> {
    let Some(length) = length else { return Ok(None) };
    u32::try_from(length).map(Some).map_err(|_| {
        Error::config(field, format!("{length} is not a number of packets from 0 to {}", u32::MAX))
    })
}

/// Both maps as one. Two names of one setting in the same map contradict each other.
fn sysctls(
    own: BTreeMap<String, String>,
    args: BTreeMap<String, String>,
) -> Result<Vec<Wanted>, Error> {
    let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
    for (section, map) in [("sysctl", own), ("args.cni.sysctl", args)] {
        for (key, value) in map {
            let field = format!("{section}[\"{key}\"]");
            let key = SysctlKey::parse(&key).map_err(|problem| Error::config(&field, problem))?;
            let wanted = Wanted { section, key, value };
            if let Some(other) = all.insert(wanted.key.path().to_owned(), wanted)
                && other.section == section
            {
                return Err(Error::config(
                    field,
                    format!("is the same setting as \"{}\": remove one", other.key.text()),
                ));
            }
        }
    }
    Ok(all.into_values().collect())
}
