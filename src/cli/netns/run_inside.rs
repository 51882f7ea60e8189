//! `causeway netns exec`: a command that takes this process's place inside a namespace.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;

use crate::exit_code::ExitCode;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Error, of_process, tell};
use crate::kernel::netns::Namespace;

/// Below it, each namespace's name is a directory of files that stand in for those of /etc.
const ETC: &str = "/etc/netns";

/// The shell's codes for a command that was found but cannot be run, and for one not found.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Replaces this process by the command, inside the namespace and in a mount namespace of its own.
/// Comes back only if that fails; the calling thread is home then, but keeps the new mounts.
///
/// # Errors
/// When the namespace cannot be entered or the mounts cannot be made.
pub(super) fn run_inside(
    dir: &Path,
    target: &str,
    command: &[OsString],
) -> Result<ExitCode, Error> {
    let Some((program, arguments)) = command.split_first() else { return Ok(ExitCode::SUCCESS) };
    let (path, name) = locate(dir, target)?;
    let failure = Namespace::open(&path)?.enter(|| {
        prepare_mounts(name)?;
        Ok::<_, Error>(process::Command::new(program).args(arguments).exec())
    })??;
    tell(&format!("cannot run {}: {failure}", program.to_string_lossy()));
    Ok(match failure.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => CANNOT_RUN,
    }
    .into())
}

/// The namespace's path, and its name if it was given by name.
fn locate<'a>(dir: &Path, target: &'a str) -> Result<(PathBuf, Option<&'a str>), Error> {
    if let Some(path) = of_process(target)? {
        return Ok((path, None));
    }
    if target.contains('/') {
        return Ok((target.into(), None));
    }
    Ok((dir.join(target), Some(target)))
}

/// Gives the process mounts of its own: a /sys that shows the namespace's devices, and the
/// namespace's files over those of /etc. The steps are iproute2's (lib/namespace.c, netns_switch).
fn prepare_mounts(name: Option<&str>) -> Result<(), Error> {
    let none: Option<&str> = None;
    let failed = |doing| move |errno: nix::Error| Error::Mounts { doing, source: errno.into() };
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    // A slave still receives what others mount, but shows them nothing of ours.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(failed("keep the mounts private"))?;
    // A /sys that cannot be taken away is covered; the kernel lets a read-only one be covered only
    // by another read-only one.
    let mut flags = MsFlags::empty();
    if umount2("/sys", MntFlags::MNT_DETACH).is_err()
        && statvfs("/sys").is_ok_and(|sys| sys.flags().contains(FsFlags::ST_RDONLY))
    {
        flags = MsFlags::MS_RDONLY;
    }
    mount(Some(name.unwrap_or("sysfs")), "/sys", Some("sysfs"), flags, none)
        .map_err(failed("mount /sys"))?;
    if let Some(name) = name {
        cover_etc(&Path::new(ETC).join(name));
    }
    Ok(())
}

/// Mounts each file of `directory` over the one of the same name in /etc. What cannot be mounted
/// is told and left out, as iproute2 does.
fn cover_etc(directory: &Path) {
    let Ok(files) = fs::read_dir(directory) else { return };
    for file in files.flatten() {
        let (from, to) = (file.path(), Path::new("/etc").join(file.file_name()));
        let none: Option<&str> = None;
        if let Err(errno) = mount(Some(&from), &to, none, MsFlags::MS_BIND, none) {
            tell(&format!(
                "cannot mount {} over {}: {}",
                from.display(),
                to.display(),
                errno.desc()
            ));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_a_path_or_a_process() {
        let dir = Path::new("/run/netns");
        let at = |target| locate(dir, target).unwrap();
        assert_eq!(at("blue"), ("/run/netns/blue".into(), Some("blue")));
        assert_eq!(at("./blue"), ("./blue".into(), None));
        assert_eq!(at("/proc/7/ns/net"), ("/proc/7/ns/net".into(), None));
        assert_eq!(at("pid:12"), ("/proc/12/ns/net".into(), None));
        for wrong in ["pid:", "pid:x", "pid:-1", "pid:1/../2"] {
            assert!(matches!(locate(dir, wrong), Err(Error::Process(_))), "{wrong}");
        }
    }
}
