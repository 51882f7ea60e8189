//! From the keys of a configuration to the device that they name.

use super::Facts;
use super::settings::{Named, Settings};
use crate::engine::Node;
use crate::engine::journal;
use crate::engine::resource::Resource;
use crate::engine::resource::host_device::HostDevice;
use crate::kernel::link::{self, Device};
use crate::kernel::sysfs::Sysfs;
use crate::plugins::Error;
use crate::plugins::attached;
use crate::protocol::request::Request;

/// The PCI address that the configuration names, if the driver of that device hands it to a program
/// in user space: then there is no link to be moved.
///
/// # Errors
/// A PCI device that is not there or has no driver.
pub(super) fn in_user_space(settings: &Settings, sysfs: &Sysfs) -> Result<Option<String>, Error> {
    let Some((key, address)) = settings.named.iter().find_map(|named| match named {
        Named::Pci(address) => Some((named.key(), address)),
        Named::Allotted(id) if sysfs.has("pci", id) => Some((named.key(), id)),
        _ => None,
    }) else {
        return Ok(None);
    };
    let is_so = sysfs
        .is_for_user_space(address)
        .map_err(|problem| Error::config(key, problem.to_string()))?;
    Ok(is_so.then(|| address.clone()))
}

/// The device on the host.
///
/// # Errors
/// That there is none, with what was looked for, or that two keys name two devices;
/// [`Error::AlreadyAttached`] when another attachment has it.
pub(super) fn on_host(
    settings: &Settings,
    request: &Request,
    sysfs: &Sysfs,
    node: &mut Node<'_>,
) -> Result<Device, Error> {
    let mut first: Option<(&Named, Device)> = None;
    for named in &settings.named {
        match (&first, find(named, sysfs, node)?) {
            (None, Ok(device)) => first = Some((named, device)),
            (None, Err(problem)) => return Err(missing(named, problem, request, sysfs)),
            // The first key is enough, but what is allotted must be there.
            (Some(_), Err(problem)) if is_unknown(named, sysfs) => {
                return Err(missing(named, problem, request, sysfs));
            }
            (Some((other, one)), Ok(device)) if one.link.index != device.link.index => {
                return Err(Error::config(
                    named.key(),
                    format!(
                        "names {}, but {} names {}; keep one of the two keys",
                        device.link.name,
                        other.key(),
                        one.link.name
                    ),
                ));
            }
            (Some(_), _) => {}
        }
    }
    match first {
        Some((_, device)) => Ok(device),
        None => Err(Error::config("device", "names nothing")),
    }
}

fn is_unknown(named: &Named, sysfs: &Sysfs) -> bool {
    matches!(named, Named::Allotted(id) if !sysfs.has("pci", id) && !sysfs.has("auxiliary", id))
}

/// The device that one key names, or why there is none.
fn find(
    named: &Named,
    sysfs: &Sysfs,
    node: &mut Node<'_>,
) -> Result<Result<Device, String>, Error> {
    let interface = match named {
        Named::Device(name) => Ok(name.clone()),
        Named::Address(address) => {
            let found =
                link::devices(&mut node.host)?.into_iter().find(|one| one.address == *address);
            return Ok(
                found.ok_or_else(|| format!("no link of the host has the address {address}"))
            );
        }
        Named::Path(path) => sysfs.interface_of_path(path),
        Named::Pci(address) => sysfs.interface_of_pci(address),
        Named::Allotted(id) if sysfs.has("pci", id) => sysfs.interface_of_pci(id),
        Named::Allotted(id) if sysfs.has("auxiliary", id) => sysfs.interface_of_auxiliary(id),
        Named::Allotted(id) => {
            return Ok(Err(format!("there is neither a PCI nor an auxiliary device {id}")));
        }
    };
    let name = match interface {
        Ok(name) => name,
        Err(problem) => return Ok(Err(problem.to_string())),
    };
    let found = link::find_device(&mut node.host, &name)?;
    Ok(found.ok_or_else(|| match named {
        Named::Device(name) => format!("no link of the host is called {name}"),
        // Then this sysfs is of another namespace than this process is in.
        _ => format!("it leads to {name}, which is not in this namespace"),
    }))
}

/// Why a device is not on the host: another attachment may have it.
fn missing(named: &Named, problem: String, request: &Request, sysfs: &Sysfs) -> Error {
    let has_it = |device: &HostDevice| match named {
        Named::Device(name) => device.host == *name,
        Named::Address(address) => {
            let address = address.to_string();
            device.mac == address || device.identity.permanent == address
        }
        Named::Pci(id) | Named::Allotted(id) => sysfs.is_behind(id, &device.identity.parent),
        Named::Path(path) => {
            path.file_name().is_some_and(|name| name == device.identity.parent.as_str())
        }
    };
    let found = journal::search(request.config.state_dir.as_deref(), &|record| {
        record
            .resources
            .iter()
            .any(|one| matches!(one, Resource::HostDevice(device) if has_it(device)))
    });
    let Some(record) = found else {
        return Error::config(named.key(), format!("{problem}; is it in another namespace?"));
    };
    let gone = match &record.netns {
        Some(path) if path.exists() => String::new(),
        _ => ", whose namespace is gone".to_owned(),
    };
    Error::AlreadyAttached(format!(
        "{}: {problem}: {} has it{gone}; detach that one first (DEL), or name another device",
        named.key(),
        record.owner.text()
    ))
}

/// The PCI address of a device, or of the one that it is in as with virtio, if that is how the
/// configuration names it; empty for others.
fn pci_of(settings: &Settings, sysfs: &Sysfs, device: &Device) -> String {
    let parent = &device.identity.parent;
    if device.identity.bus == "pci" {
        return parent.clone();
    }
    let named = settings.named.iter().find_map(|named| match named {
        Named::Pci(id) | Named::Allotted(id) if sysfs.has("pci", id) => Some(id),
        _ => None,
    });
    named.cloned().unwrap_or_default()
}

impl Facts {
    /// The facts for an ADD.
    pub(super) fn observe(
        settings: &Settings,
        request: &Request,
        node: &mut Node<'_>,
    ) -> Result<Self, Error> {
        attached::refuse_second(request, node)?;
        let namespace = node.pod()?.namespace.inode();
        let sysfs = Sysfs::default();
        if let Some(address) = in_user_space(settings, &sysfs)? {
            return Ok(Self::UserSpace { pci: address });
        }
        let device = on_host(settings, request, &sysfs, node)?;
        let pci = pci_of(settings, &sysfs, &device);
        Ok(Self::OnHost { device: Box::new(device), namespace, pci })
    }
}
