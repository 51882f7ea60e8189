//! The keys of a `tap` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::kernel::mac::Mac;
use crate::plugins::Error;
use crate::protocol::config::{filled, section};
use crate::protocol::names;
use crate::protocol::request::Request;

/// The keys, as they are written.
pub const KEYS: &[&str] =
    &["multiQueue", "mtu", "mac", "owner", "group", "selinuxContext", "bridge"];

/// Smallest and largest MTU of a TAP device, in bytes (`tun_net_initialize`, drivers/net/tun.c).
const MTU: std::ops::RangeInclusive<i64> = 68..=65521;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Several queues; a program must open the device in the same way.
    multi_queue: bool,
    /// Bytes, 68 to 65521; 0 leaves it to the kernel (1500).
    #[cfg_attr(test, schemars(range(min = 0, max = *MTU.end())))]
    mtu: i64,
    /// The hardware address of the container's end. The capability `mac`, then CNI_ARGS `MAC`, win
    /// over it.
    #[serde(deserialize_with = "filled")]
    mac: Option<String>,
    /// The user who may open the device without privileges.
    #[cfg_attr(test, schemars(range(max = u32::MAX - 1)))]
    owner: Option<u32>,
    /// The group whose members may.
    #[cfg_attr(test, schemars(range(max = u32::MAX - 1)))]
    group: Option<u32>,
    /// The SELinux label that the device gets.
    #[serde(deserialize_with = "filled")]
    selinux_context: Option<String>,
    /// A bridge **in the container** that the device becomes a port of.
    #[serde(deserialize_with = "filled")]
    bridge: Option<String>,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The device has several queues.
    pub multi_queue: bool,
    /// Bytes; the kernel's default without.
    pub mtu: Option<u32>,
    /// The hardware address asked for, by capability, CNI_ARGS or configuration.
    pub mac: Option<Mac>,
    /// The user who may open it.
    pub owner: Option<u32>,
    /// The group whose members may.
    pub group: Option<u32>,
    /// The SELinux label.
    pub label: Option<String>,
    /// The bridge in the container.
    pub bridge: Option<String>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, KEYS)?;
        if let Some(bridge) = &keys.bridge {
            names::interface_name(bridge)
                .map_err(|error| Error::config("bridge", error.to_string()))?;
        }
        if keys.selinux_context.as_ref().is_some_and(|label| label.contains(char::is_control)) {
            return Err(Error::config("selinuxContext", "must be one line of text"));
        }
        Ok(Self {
            multi_queue: keys.multi_queue,
            mtu: mtu(keys.mtu)?,
            mac: mac(request, keys.mac.as_deref())?,
            owner: id("owner", keys.owner)?,
            group: id("group", keys.group)?,
            label: keys.selinux_context,
            bridge: keys.bridge,
        })
    }
}

fn mtu(mtu: i64) -> Result<Option<u32>, Error> {
    if mtu == 0 {
        return Ok(None);
    }
    u32::try_from(mtu).ok().filter(|_| MTU.contains(&mtu)).map(Some).ok_or_else(|| {
        let (least, most) = (MTU.start(), MTU.end());
        Error::config("mtu", format!("{mtu} is not between {least} and {most} bytes"))
    })
}

/// A user or group; the highest number is nobody's (credentials(7)).
fn id(key: &str, id: Option<u32>) -> Result<Option<u32>, Error> {
    if id == Some(u32::MAX) {
        return Err(Error::config(key, format!("{} stands for no user or group", u32::MAX)));
    }
    Ok(id)
}

fn mac(request: &Request, own: Option<&str>) -> Result<Option<Mac>, Error> {
    let sources = [
        ("runtimeConfig.mac", request.config.runtime.mac.as_deref()),
        ("MAC in CNI_ARGS", request.args.mac.as_deref()),
        ("mac", own),
    ];
    let given = sources.into_iter().find_map(|(field, mac)| mac.map(|mac| (field, mac)));
    let Some((field, text)) = given else { return Ok(None) };
    Mac::parse(text).filter(|mac| mac.is_unicast()).map(Some).ok_or_else(|| {
        Error::config(
            field,
            format!("\"{text}\" is not a unicast hardware address such as 0a:58:0a:01:00:05"),
        )
    })
}
