//! A /proc of the program's own, for nodes with many containers.
//!
//! Which names there are below /proc/sys/net depends on the network namespace of who looks. The kernel
//! keeps the first of them, such as `ipv6`, in one chain for all namespaces that looked through the same
//! mount of /proc, and asks each whether it is the right one (`proc_sys_compare`, fs/proc/proc_sysctl.c):
//! a microsecond for each container, at each open, and every container that is set up there makes the
//! chain longer for as long as it lives. Containers look through mounts of /proc of their own, so the long
//! one is that of the host, by its plugins.
//!
//! A mount that nobody else has begins with no names, and they go with it. Making and closing it takes as
//! long as passing some fifty names, so it is made for the next open when one took that long.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{fsconfig_create, fsmount, fsopen};

/// What an open takes where the chain is long.
const LONG: Duration = Duration::from_micros(60);

/// Whether an open took long.
static IS_CROWDED: AtomicBool = AtomicBool::new(false);

/// Has the mount made at the next open.
pub(super) fn expect_crowd() {
    IS_CROWDED.store(true, Ordering::Relaxed);
}

/// Opens the file of a setting: by `usual`, or through a mount of the program's own where that took long
/// before. `name` is that of [`super::read`].
pub(super) fn open(
    name: &str,
    writing: bool,
    usual: impl FnOnce() -> io::Result<File>,
) -> io::Result<File> {
    if !name.starts_with("net/") {
        return usual();
    }
    if IS_CROWDED.load(Ordering::Relaxed)
        && let Some(proc) = own()
    {
        let access = if writing { OFlag::O_WRONLY } else { OFlag::O_RDONLY };
        let path = format!("sys/{name}");
        return Ok(openat(proc, path.as_str(), access | OFlag::O_CLOEXEC, Mode::empty())?.into());
    }
    let start = Instant::now();
    let file = usual();
    if start.elapsed() > LONG {
        expect_crowd();
    }
    file
}

/// The mount, made at the first call; none where it may not be made, or the kernel cannot (before Linux
/// 5.2): then the usual way is as good, and slower.
fn own() -> Option<&'static OwnedFd> {
    static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();
    OWN.get_or_init(|| if closing_waits() { None } else { mount().ok() }).as_ref()
}

/// Whether the kernel takes its time over grace periods, as with real-time scheduling: closing a mount waits
/// for one (`namespace_unlock`, fs/namespace.c), which are microseconds where it hurries and else some 20 ms.
fn closing_waits() -> bool {
    fs::read("/sys/kernel/rcu_normal").is_ok_and(|text| text.starts_with(b"1"))
}

/// Mounts /proc nowhere: it goes with its file (fsmount(2)).
fn mount() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let nothing_runs = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, nothing_runs)
}
