//! The keys of a `host-device` configuration, all those of the reference plugin's release 1.9.1.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::kernel::link::HardwareAddress;
use crate::plugins::Error;
use crate::protocol::config::{filled, section};
use crate::protocol::request::Request;

/// The keys, as they are written.
pub const KEYS: &[&str] = &["device", "hwaddr", "kernelpath", "pciBusID"];

/// The longest name of a link, if it is one of its other names (`ALTIFNAMSIZ` less the NUL).
const LONGEST_NAME: usize = 127;

/// Where paths of devices begin.
const DEVICES: &str = "/sys/devices/";

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Keys {
    /// The device's name, or one of its other names (`ip link property`).
    #[serde(deserialize_with = "filled")]
    device: Option<String>,
    /// Its hardware address, of 6, 8 or 20 bytes. Of several links with it the one with the lowest
    /// index.
    #[serde(deserialize_with = "filled")]
    hwaddr: Option<String>,
    /// The folder of the device behind it, below `/sys/devices/`.
    #[serde(deserialize_with = "filled")]
    kernelpath: Option<String>,
    /// The PCI address of the device behind it, such as `0000:03:00.0`.
    #[serde(rename = "pciBusID", deserialize_with = "filled")]
    pci_bus_id: Option<String>,
}

/// One way of naming a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By its name, or one of its other names.
    Device(String),
    /// By its hardware address.
    Address(HardwareAddress),
    /// By the folder of its device below /sys/devices.
    Path(PathBuf),
    /// By the PCI address of its device.
    Pci(String),
    /// By what the runtime's device plugin allotted: a PCI address or an auxiliary device.
    Allotted(String),
}

impl Named {
    /// The key that it stands in.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Address(_) => "hwaddr",
            Self::Path(_) => "kernelpath",
            Self::Pci(_) => "pciBusID",
            Self::Allotted(_) => "runtimeConfig.deviceID",
        }
    }
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Every way in which the device is named, at least one, in the order of precedence.
    pub named: Vec<Named>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, KEYS)?;
        let allotted = request.config.runtime.device_id.clone();
        let mut named = Vec::new();
        if let Some(name) = keys.device {
            check_name(&name)?;
            named.push(Named::Device(name));
        }
        if let Some(text) = keys.hwaddr {
            let address = HardwareAddress::parse(&text).filter(|address| !address.is_empty());
            named.push(Named::Address(address.ok_or_else(|| {
                Error::config(
                    "hwaddr",
                    format!("\"{text}\" is not a hardware address such as 0a:58:0a:01:00:05"),
                )
            })?));
        }
        if let Some(path) = keys.kernelpath {
            named.push(Named::Path(check_path(path)?));
        }
        // What is allotted to this attachment counts more than what all attachments share.
        match (allotted, keys.pci_bus_id) {
            (Some(id), _) => {
                check_id("runtimeConfig.deviceID", &id)?;
                named.push(Named::Allotted(id));
            }
            (None, Some(address)) => {
                check_id("pciBusID", &address)?;
                named.push(Named::Pci(address));
            }
            (None, None) => {}
        }
        if named.is_empty() {
            return Err(Error::config(
                "device",
                "is missing, and so are hwaddr, kernelpath, pciBusID and runtimeConfig.deviceID; \
                 one of them must name the device",
            ));
        }
        Ok(Self { named })
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let forbidden = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    if name.len() > LONGEST_NAME || name == "." || name == ".." || name.contains(forbidden) {
        return Err(Error::config("device", format!("{name:?} cannot be the name of a link")));
    }
    Ok(())
}

/// A path that stays below [`DEVICES`].
fn check_path(path: String) -> Result<PathBuf, Error> {
    let climbs = Path::new(&path).components().any(|part| part == Component::ParentDir);
    if !path.starts_with(DEVICES) || climbs {
        return Err(Error::config(
            "kernelpath",
            format!("\"{path}\" must be an absolute path below {DEVICES}, without .."),
        ));
    }
    Ok(PathBuf::from(path))
}

/// An identifier that is the name of a folder.
fn check_id(key: &str, id: &str) -> Result<(), Error> {
    if id == "." || id == ".." || id.contains(|c: char| c == '/' || c.is_control()) {
        return Err(Error::config(
            key,
            format!("{id:?} is no device's name; give a PCI address such as 0000:03:00.0"),
        ));
    }
    Ok(())
}
