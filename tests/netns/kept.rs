//! Keeping namespaces: names, propagation, many at once, and what else lies in the directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use causeway::kernel::netns::{self, Error, Found};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::command::CAUSEWAY;
use super::harness::{self, Host};
use super::{create, dir, listed, mounts_at, open};

#[test]
fn names_that_are_no_file_names_are_refused() {
    let nowhere = Path::new("/nonexistent/never-made");
    for name in ["", ".", "..", "a/b", "/", "a\0b", &"x".repeat(256)] {
        let error = netns::create(nowhere, name).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{name:?}: {error}");
        let error = netns::delete(nowhere, name).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{name:?}: {error}");
    }
    assert!(!nowhere.exists());
    assert!(!netns::delete(nowhere, "fine").unwrap());
    assert_eq!(netns::list(nowhere).unwrap(), []);
    Host::new().inside(|| {
        for name in ["x".repeat(255).as_str(), "-dashed", "with space", "ünï"] {
            create(name);
            assert!(netns::delete(dir(), name).unwrap(), "{name}");
        }
    });
}

#[test]
fn the_directory_is_made_a_shared_mount_exactly_once() {
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        Host::new().inside(|| {
            set_propagation("/", propagation);
            fs::remove_dir(dir()).unwrap();
            let first = create("first");
            let second = create("second");
            harness::run_here("ip netns add third");
            assert_eq!(mounts_at(dir()), 1);
            assert_eq!(mounts_at(&first), 1, "not mounted twice by propagation");
            assert_eq!(mounts_at(&second), 1);
            let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            let line = mounts.lines().find(|line| line.split(' ').nth(4) == dir().to_str());
            assert!(line.unwrap().contains(" shared:"), "{line:?}");
            for name in ["first", "second", "third"] {
                assert!(netns::delete(dir(), name).unwrap());
                assert_eq!(mounts_at(&dir().join(name)), 0);
            }
        });
    }
}

#[test]
fn other_mount_namespaces_follow() {
    Host::new().inside(|| {
        set_propagation("/", MsFlags::MS_SHARED);
        create("first");
        let peer = MountNamespace::copy(|| ());
        let apart = MountNamespace::copy(|| set_propagation("/", MsFlags::MS_PRIVATE));

        create("second");
        let both = [("first".to_owned(), true), ("second".to_owned(), true)];
        assert_eq!(peer.inside(listed), both, "what is made here appears there");
        assert_eq!(apart.inside(listed)[1], ("second".to_owned(), false), "but not where private");

        peer.inside(|| assert!(netns::delete(dir(), "second").unwrap()));
        assert_eq!(listed(), both[..1], "what is deleted there is gone here");
        assert_eq!(mounts_at(&dir().join("second")), 0);

        apart.inside(|| assert!(netns::delete(dir(), "first").unwrap()));
        assert_eq!(listed(), []);
        assert_eq!(mounts_at(&dir().join("first")), 0, "also by one that could not unmount it");
    });
}

fn set_propagation(path: &str, how: MsFlags) {
    let none: Option<&str> = None;
    mount(none, path, none, MsFlags::MS_REC | how, none).expect("set the propagation");
}

/// A copy of the calling thread's mount namespace.
struct MountNamespace(File);

impl MountNamespace {
    fn copy(and: impl FnOnce() + Send) -> Self {
        thread::scope(|scope| {
            let copy = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("copy the mounts");
                and();
                Self(File::open("/proc/thread-self/ns/mnt").expect("own mount namespace"))
            });
            copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let visit = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS).expect("a working directory of its own");
                setns(&self.0, CloneFlags::CLONE_NEWNS).expect("enter the mounts");
                work()
            });
            visit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

#[test]
fn twenty_at_once_make_twenty_namespaces_and_one_mount() {
    Host::new().inside(|| {
        fs::remove_dir(dir()).unwrap();
        let spawn = |n: usize| {
            let name = format!("n{n:02}");
            let mut command = match n % 2 {
                0 => Command::new(CAUSEWAY),
                _ => Command::new("ip"),
            };
            command.args(["netns", "add", &name]).spawn().expect("start")
        };
        let running: Vec<Child> = (0..20).map(spawn).collect();
        for mut child in running {
            assert!(child.wait().unwrap().success());
        }
        let entries = netns::list(dir()).unwrap();
        let inodes: BTreeSet<_> = entries.iter().filter_map(|entry| entry.inode).collect();
        assert_eq!((entries.len(), inodes.len()), (20, 20));
        assert_eq!(mounts_at(dir()), 1);
        for entry in &entries {
            assert_eq!(mounts_at(&entry.path), 1, "{:?}", entry.name);
        }

        thread::scope(|scope| {
            for n in 0..20 {
                scope.spawn(move || assert!(netns::delete(dir(), &format!("n{n:02}")).unwrap()));
            }
        });
        assert_eq!(listed(), []);
    });
}

#[test]
fn who_holds_the_directorys_lock_is_waited_for() {
    Host::new().inside(|| {
        let held = File::open(dir()).unwrap();
        let held = Flock::lock(held, FlockArg::LockShared).unwrap();
        thread::scope(|scope| {
            let adding = scope.spawn(|| create("patient"));
            thread::sleep(Duration::from_millis(100));
            assert_eq!(mounts_at(dir()), 0, "the directory is left alone while locked");
            drop(held);
            adding.join().unwrap();
        });
        assert_eq!(listed(), [("patient".to_owned(), true)]);
    });
}

#[test]
fn of_many_that_want_one_name_one_gets_it() {
    Host::new().inside(|| {
        let results = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| netns::create(dir(), "wanted"))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert!(matches!(error, Error::Exists { .. } | Error::Occupied { .. }), "{error}");
        }
        assert_eq!(listed(), [("wanted".to_owned(), true)]);
        assert_eq!(mounts_at(&dir().join("wanted")), 1);
    });
}

#[test]
fn of_many_that_delete_one_name_none_fails() {
    Host::new().inside(|| {
        create("unwanted");
        let removed: usize = thread::scope(|scope| {
            let delete = || usize::from(netns::delete(dir(), "unwanted").expect("delete"));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(delete)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(removed >= 1);
        assert_eq!(listed(), []);
    });
}

#[test]
fn what_an_interrupted_add_leaves_is_listed_refused_and_deleted() {
    Host::new().inside(|| {
        create("whole");
        fs::write(dir().join("half"), "").unwrap();
        assert_eq!(listed(), [("half".to_owned(), false), ("whole".to_owned(), true)]);

        let error = netns::create(dir(), "half").unwrap_err();
        assert!(matches!(error, Error::Occupied { found: Found::EmptyFile, .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("/run/netns/half") && said.contains("delete it first"), "{said}");
        let error = netns::create(dir(), "whole").unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");

        assert!(netns::delete(dir(), "half").unwrap());
        create("half");
        assert_eq!(listed(), [("half".to_owned(), true), ("whole".to_owned(), true)]);
    });
}

#[test]
fn several_mounts_one_upon_the_other_all_go() {
    Host::new().inside(|| {
        let path = create("deep");
        let none: Option<&str> = None;
        for _ in 0..3 {
            mount(Some("/proc/thread-self/ns/net"), &path, none, MsFlags::MS_BIND, none).unwrap();
        }
        assert_eq!(mounts_at(&path), 4);
        assert!(netns::delete(dir(), "deep").unwrap());
        assert_eq!((mounts_at(&path), path.exists()), (0, false));
    });
}

#[test]
fn deleting_spares_what_is_no_namespace() {
    Host::new().inside(|| {
        let kept = create("kept");
        let at = |name: &str| dir().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("file"), "precious").unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        let shelf = Path::new("/run/shelf");
        fs::create_dir(shelf).unwrap();
        for name in ["directory", "file", "fifo"] {
            let error = netns::delete(dir(), name).unwrap_err();
            assert!(matches!(error, Error::NotANamespace { .. }), "{name}: {error}");
            assert!(at(name).symlink_metadata().is_ok(), "{name} is still there");
        }
        let (uts, none) = (shelf.join("uts"), None::<&str>);
        fs::write(&uts, "").unwrap();
        mount(Some("/proc/thread-self/ns/uts"), &uts, none, MsFlags::MS_BIND, none).unwrap();
        let error = netns::delete(shelf, "uts").unwrap_err();
        assert!(error.to_string().contains("a UTS namespace"), "{error}");
        assert_eq!(mounts_at(&uts), 1);

        symlink(&kept, at("link")).unwrap();
        symlink("/run/nowhere", at("dead")).unwrap();
        assert!(listed().contains(&("link".to_owned(), true)));
        assert!(listed().contains(&("dead".to_owned(), false)));
        let error = netns::create(dir(), "dead").unwrap_err();
        assert!(matches!(error, Error::Occupied { found: Found::DeadLink, .. }), "{error}");
        assert!(netns::delete(dir(), "link").unwrap());
        assert!(netns::delete(dir(), "dead").unwrap());
        open(&kept);
    });
}
