//! `causeway fuse` and `causeway unfuse`, as people run them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

const LIST: &str = include_str!("../testdata/fuse/usual.conflist");
const FUSED: &str = include_str!("../testdata/fuse/usual-fused.conflist");

/// A directory of one test's own, gone with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("causeway-fuse-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.join("10-pods.conflist");
        fs::write(&path, text).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn causeway(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway")).args(words).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_file_is_rewritten_and_turned_back() {
    let dir = Dir::new("back");
    let path = dir.file(LIST);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let name = path.to_str().unwrap();
    let out = causeway(&["fuse", name]);
    assert!(out.status.success(), "{}", said(&out.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), FUSED);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let told = said(&out.stdout);
    for word in ["bridge", "portmap", "acme-policy", "portMappings", "unfuse"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(causeway(&["unfuse", name]).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), LIST);
    assert_eq!(dir.names(), ["10-pods.conflist"]);
}

/// Nobody reads what is printed: that is no failure, and an error is one as always.
#[test]
fn what_is_printed_may_have_no_reader() {
    let nobody = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let dir = Dir::new("nobody");
    let path = dir.file(LIST);
    let fuse = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["fuse", file]).stdout(nobody()).stderr(nobody()).status().unwrap().code()
    };
    assert_eq!(fuse(path.to_str().unwrap()), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), FUSED);
    assert_eq!(fuse("/none.conflist"), Some(1));
}

#[test]
fn the_new_list_can_go_elsewhere() {
    let dir = Dir::new("elsewhere");
    let path = dir.file(LIST);
    let name = path.to_str().unwrap();
    let out = causeway(&["fuse", name, "--output", "-"]);
    assert_eq!(said(&out.stdout), FUSED);
    let other = dir.0.join("other.conflist");
    assert!(causeway(&["fuse", name, "-o", other.to_str().unwrap()]).status.success());
    assert_eq!(fs::read_to_string(&other).unwrap(), FUSED);
    assert_eq!(fs::read_to_string(&path).unwrap(), LIST);
}

#[test]
fn a_link_stays_a_link() {
    let dir = Dir::new("link");
    let path = dir.file(LIST);
    let link = dir.0.join("link.conflist");
    symlink(&path, &link).unwrap();
    assert!(causeway(&["fuse", link.to_str().unwrap()]).status.success());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), FUSED);
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_changed() {
    let dir = Dir::new("refused");
    let refused = |text: &str, command: &str, words: &[&str]| {
        let path = dir.file(text);
        let out = causeway(&[command, path.to_str().unwrap()]);
        assert!(!out.status.success());
        assert_eq!(said(&out.stdout), "");
        for word in words {
            assert!(said(&out.stderr).contains(word), "{}", said(&out.stderr));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    };
    refused(FUSED, "fuse", &["10-pods.conflist", "fused already", "nothing was changed"]);
    refused(LIST, "unfuse", &["nothing to unfuse"]);
    refused("{", "fuse", &["10-pods.conflist", "line 1"]);
    refused(&LIST.replace("1450", "\"big\""), "fuse", &["plugins[0]", "mtu"]);
    refused(&LIST.replace("\"pods\"", "\"../pods\""), "fuse", &["name"]);
    let out = causeway(&["fuse", dir.0.join("absent").to_str().unwrap()]);
    assert!(said(&out.stderr).contains("cannot read it"));
    assert_eq!(dir.names(), ["10-pods.conflist"]);
}
