//! Network namespaces: opening, entering, keeping, and living together with `ip netns`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

#[path = "netns/command.rs"]
mod command;
#[path = "netns/kept.rs"]
mod kept;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use causeway::kernel::netns::{self, Error, Found, Namespace};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use harness::Host;

fn dir() -> &'static Path {
    Path::new(netns::DIRECTORY)
}

fn create(name: &str) -> PathBuf {
    netns::create(dir(), name).unwrap_or_else(|e| panic!("create {name}: {e}"))
}

fn open(path: impl AsRef<Path>) -> Namespace {
    Namespace::open(path.as_ref()).unwrap_or_else(|e| panic!("open: {e}"))
}

/// Name and whether it is a namespace, of all that is kept.
fn listed() -> Vec<(String, bool)> {
    let entries = netns::list(dir()).expect("list");
    let name = |entry: &netns::Entry| entry.name.to_string_lossy().into_owned();
    entries.iter().map(|entry| (name(entry), entry.is_namespace())).collect()
}

/// How many mounts the calling thread sees at `path`.
fn mounts_at(path: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
    mounts.lines().filter(|line| line.split(' ').nth(4) == path.to_str()).count()
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("run a command")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn a_namespace_is_made_listed_entered_and_deleted() {
    Host::new().inside(|| {
        let home = Namespace::current().unwrap();
        let path = create("blue");
        assert_eq!(path, dir().join("blue"));
        assert!(Namespace::current().unwrap().is_same(&home), "the caller stays where it is");

        let blue = open(&path);
        assert_eq!(blue.path(), path);
        assert!(!blue.is_same(&home));
        assert!(blue.is_same(&open(&path)));
        let entries = netns::list(dir()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].inode, Some(blue.inode()));
        assert_eq!(entries[0].path, path);

        let inside = blue.enter(|| Namespace::current().unwrap()).unwrap();
        assert!(inside.is_same(&blue));
        let links = blue.enter(|| harness::run_here("ip -j link")).unwrap();
        let links: Value = serde_json::from_str(&links).unwrap();
        assert_eq!(links.as_array().unwrap().len(), 1);
        assert_eq!(links[0]["ifname"], "lo");
        assert_eq!(links[0]["operstate"], "DOWN", "lo is left as `ip netns add` leaves it");

        assert!(netns::delete(dir(), "blue").unwrap());
        assert!(!path.exists());
        assert!(!netns::delete(dir(), "blue").unwrap(), "a second time there is nothing");
        assert!(matches!(Namespace::open(&path), Err(Error::Gone { .. })));
        blue.enter(|| ()).expect("an open namespace outlives its name");
    });
}

#[test]
fn entering_comes_back_also_when_the_work_panics() {
    Host::new().inside(|| {
        let home = Namespace::current().unwrap();
        let blue = open(create("blue"));
        let is_home = || Namespace::current().unwrap().is_same(&home);

        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _ = blue.enter(|| {
                assert!(!is_home());
                panic!("by design");
            });
        }));
        assert!(panic.is_err());
        assert!(is_home());

        assert_eq!(blue.enter_from(&home, || 7).unwrap(), 7);
        assert!(is_home());

        let red = open(create("red"));
        let nested = blue.enter(|| {
            let in_red = red.enter(|| Namespace::current().unwrap()).unwrap();
            in_red.is_same(&red) && Namespace::current().unwrap().is_same(&blue)
        });
        assert!(nested.unwrap(), "home is where the caller was, not the process");
        assert!(is_home());
    });
}

/// Tells this program, started once more by the test below, to do what ends it.
const LOSE_THE_WAY: &str = "CAUSEWAY_TEST_LOSE_THE_WAY_HOME";

#[test]
fn a_process_without_a_way_home_ends() {
    if std::env::var_os(LOSE_THE_WAY).is_some() {
        return lose_the_way_home();
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    shell.args(["--exact", "a_process_without_a_way_home_ends", "--nocapture"]);
    let out = output(shell.env(LOSE_THE_WAY, "1"));
    assert_eq!(out.status.signal(), Some(libc::SIGABRT), "{}{}", stdout(&out), stderr(&out));
    assert!(stderr(&out).contains("cannot go back"), "{}", stderr(&out));
    assert!(!stdout(&out).contains("went on"));
}

fn lose_the_way_home() {
    // Away from the machine's own namespace first, so that nothing there can come to harm.
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let elsewhere = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        Namespace::current().unwrap()
    });
    let elsewhere = elsewhere.join().unwrap();
    let nobody = nix::unistd::Uid::from_raw(65534);
    let _ = elsewhere.enter(|| nix::unistd::setuid(nobody).unwrap());
    println!("went on");
}

#[test]
fn whatever_is_no_network_namespace_is_named_and_never_waited_for() {
    let (done, waiting) = mpsc::channel();
    let test = thread::spawn(move || {
        Host::new().inside(|| {
            let at = |name: &str| Path::new("/run").join(name);
            mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
            fs::write(at("file"), "text").unwrap();
            fs::write(at("empty"), "").unwrap();
            let _socket = UnixListener::bind(at("socket")).unwrap();
            symlink("/run/nowhere", at("dead")).unwrap();
            symlink("loop", at("loop")).unwrap();

            let found = |path: &str| match Namespace::open(Path::new(path)) {
                Err(Error::NotANamespace { found, path: told }) => {
                    assert_eq!(told, Path::new(path));
                    found
                }
                other => panic!("{path}: {other:?}"),
            };
            assert_eq!(found("/run/fifo"), Found::Fifo);
            assert_eq!(found("/run/file"), Found::File);
            assert_eq!(found("/run/empty"), Found::EmptyFile);
            assert_eq!(found("/run/socket"), Found::Socket);
            assert_eq!(found("/run"), Found::Directory);
            assert_eq!(found("/dev/null"), Found::Device);
            assert_eq!(found("/proc/self/ns/mnt"), Found::Namespace("a mount namespace"));
            assert_eq!(found("/proc/self/ns/user"), Found::Namespace("a user namespace"));
            for gone in ["/run/missing", "/run/missing/net", "/run/dead", "/proc/0/ns/net"] {
                let error = Namespace::open(Path::new(gone)).unwrap_err();
                assert!(matches!(error, Error::Gone { .. }), "{gone}: {error}");
                assert!(error.to_string().contains(gone), "{error}");
            }
            let error = Namespace::open(Path::new("/run/loop")).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error}");
            assert!(open("/proc/self/ns/net").inode() > 0);
        });
        done.send(()).unwrap();
    });
    match waiting.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("an open is waiting for something"),
        _ => test.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}
