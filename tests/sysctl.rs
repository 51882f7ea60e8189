//! Settings under /proc/sys, opened as on a node with many containers: through a mount of our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use causeway::kernel::netns::Namespace;
use causeway::kernel::{Error, sysctl};
use harness::Host;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

const NAME: &str = "net/ipv6/conf/lo/accept_dad";

/// Mounts of /proc that this process holds by a file alone: `fsmount` shows them as their root.
fn own_mounts() -> usize {
    let files = Path::new("/proc/self/fd").read_dir().unwrap();
    let is_one = |path: &Path| {
        path.read_link().is_ok_and(|to| to == Path::new("/"))
            && File::open(path).is_ok_and(|file| {
                fstatfs(&file).is_ok_and(|about| about.filesystem_type() == PROC_SUPER_MAGIC)
            })
    };
    files.filter(|file| file.as_ref().is_ok_and(|file| is_one(&file.path()))).count()
}

#[test]
fn a_setting_is_of_the_namespace_that_the_thread_is_in() {
    let host = Host::new();
    let blue = host.pod("blue");
    let before = blue.run("cat /proc/sys/net/ipv6/conf/lo/accept_dad");
    host.inside(|| {
        sysctl::write(NAME, "0").unwrap();
        assert_eq!(own_mounts(), 0);
        sysctl::open_privately();
        assert_eq!(sysctl::read(NAME).unwrap(), "0", "what was written the usual way");
        let inside = Namespace::open(&blue.path).unwrap();
        inside.enter(|| sysctl::write(NAME, "2")).unwrap().unwrap();
        assert_eq!(sysctl::read(NAME).unwrap(), "0");
        assert_eq!(inside.enter(|| sysctl::read(NAME)).unwrap().unwrap(), "2");
        assert_eq!(own_mounts(), 1, "one is enough for all");

        let Error::Sysctl { source, .. } = sysctl::read("net/ipv6/conf/none/mtu").unwrap_err()
        else {
            panic!("another error");
        };
        assert_eq!(source.kind(), ErrorKind::NotFound);
        assert!(!sysctl::read("kernel/ostype").unwrap().is_empty());
    });
    assert_ne!(before.trim(), "2");
    assert_eq!(host.run("cat /proc/sys/net/ipv6/conf/lo/accept_dad").trim(), "0");
    assert_eq!(blue.run("cat /proc/sys/net/ipv6/conf/lo/accept_dad").trim(), "2");
}
