//! TAP devices: links whose other end is a program, such as a virtual machine's monitor
//! (Documentation/networking/tuntap.rst).

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use nix::errno::Errno;

use super::error::Error;
use super::program;
use super::raw::{self, TunSetting};
use super::selinux;

/// The device that makes TAP devices.
const TUN: &str = "/dev/net/tun";

/// A TAP device to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap<'a> {
    /// Its name.
    pub name: &'a str,
    /// Several programs, or threads, may have a queue each.
    pub multi_queue: bool,
    /// Packets come with a header of virtio. Until a program opens the device, and says itself what
    /// it wants.
    pub vnet_header: bool,
    /// The user who may open it without privileges.
    pub owner: Option<u32>,
    /// The group whose members may.
    pub group: Option<u32>,
}

/// Whether this machine can make TAP devices.
///
/// # Errors
/// As [`make`].
pub fn require() -> Result<(), Error> {
    open().map(drop)
}

fn open() -> Result<File, Error> {
    OpenOptions::new().read(true).write(true).open(TUN).map_err(|source| {
        let kind = source.kind();
        // Without a driver the node opens with ENODEV or, as another file, not at all.
        let no_driver = [libc::ENODEV, libc::ENXIO].map(Some).contains(&source.raw_os_error());
        if kind == ErrorKind::NotFound || no_driver {
            return missing();
        }
        Error::File { path: TUN.into(), doing: "open", source }
    })
}

fn missing() -> Error {
    Error::Missing {
        feature: "TAP devices (CONFIG_TUN, module tun, with the node /dev/net/tun)".into(),
        needed_for: "type tap".into(),
    }
}

/// Makes a TAP device that stays, in the calling thread's network namespace.
///
/// # Errors
/// [`Error::Missing`] without /dev/net/tun; [`Error::Refused`] with `EBUSY` when a TAP device of that
/// name is there, and `EINVAL` when a link of another kind is.
pub fn make(tap: &Tap<'_>) -> Result<(), Error> {
    let file = open()?;
    let refused = |doing: String| {
        move |errno: Errno| match errno {
            // What is not a TUN device gets this from every request.
            Errno::ENOTTY => missing(),
            errno => Error::Refused { doing, errno, said: None },
        }
    };
    // Exclusive: fail rather than open a device that is there.
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    if tap.multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    if tap.vnet_header {
        flags |= libc::IFF_VNET_HDR;
    }
    let name = tap.name;
    // All of them are in the lower half.
    raw::tun_make(file.as_fd(), name, flags as u16)
        .map_err(refused(format!("add tap device {name}")))?;
    let owner = tap.owner.map(TunSetting::Owner);
    let group = tap.group.map(TunSetting::Group);
    for setting in [owner, group, Some(TunSetting::Persistent)].into_iter().flatten() {
        raw::tun_set(file.as_fd(), setting).map_err(refused(match setting {
            TunSetting::Owner(user) => format!("give tap device {name} to user {user}"),
            TunSetting::Group(group) => format!("give tap device {name} to group {group}"),
            TunSetting::Persistent => format!("keep tap device {name}"),
        }))?;
    }
    Ok(())
}

/// As [`make`], but the device gets the SELinux label `label`, which is that of the program that makes
/// it. So another program has to: `ip`, as with the reference plugin, whose policy allows that.
///
/// # Errors
/// [`Error::Missing`] without /dev/net/tun; [`Error::File`] for a label that the kernel refuses;
/// [`Error::NoProgram`], [`Error::Program`].
pub fn make_labelled(tap: &Tap<'_>, label: &str) -> Result<(), Error> {
    require()?;
    let mut ip = program::run("ip");
    ip.args(["tuntap", "add", "mode", "tap", "name", tap.name]);
    if tap.multi_queue {
        ip.arg("multi_queue");
    }
    for (key, id) in [("user", tap.owner), ("group", tap.group)] {
        if let Some(id) = id {
            ip.args([key, &id.to_string()]);
        }
    }
    ip.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |problem: String| Error::Program { program: "ip".into(), problem };
    let said = selinux::under_label(label, || ip.spawn().and_then(program::output))?;
    let said = said.map_err(|error| match error.kind() {
        ErrorKind::NotFound if !Path::new("/sbin/ip").exists() => Error::NoProgram {
            program: "ip".into(),
            package: "iproute2",
            needed_for: "selinuxContext".into(),
        },
        _ => failed(error.to_string()),
    })?;
    if said.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&said.stderr).trim().to_owned()))
}
