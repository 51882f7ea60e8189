//! Foreign IPAM plugins: finding them, and what comes of running them. The plugins are shell
//! scripts in a temporary directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use causeway::delegate::{self, Error};
use causeway::protocol::request::Verb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// A directory of plugins, removed when dropped.
struct Plugins(PathBuf);

impl Plugins {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("causeway-delegate-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).expect("make a directory of plugins");
        Self(dir)
    }

    /// A plugin that is this shell script, with `$here` as its directory.
    fn script(&self, name: &str, script: &str) -> PathBuf {
        let path = self.0.join(name);
        let text = format!("#!/bin/sh\nhere='{}'\n{script}\n", self.0.display());
        fs::write(&path, text).expect("write a plugin");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod a plugin");
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Fails the test instead of hanging it when two processes wait for each other.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waiting) = mpsc::channel();
    let thread = thread::spawn(move || done.send(work()));
    match waiting.recv_timeout(Duration::from_secs(30)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still waiting after 30 seconds"),
        Err(_) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

#[test]
fn the_first_executable_file_on_the_path_is_found() {
    let (first, second) = (Plugins::new(), Plugins::new());
    let path = [PathBuf::new(), first.0.join("missing"), first.0.clone(), second.0.clone()];
    let in_second = second.script("both", "");
    assert_eq!(delegate::find("both", &path).unwrap(), in_second);
    let in_first = first.script("both", "");
    assert_eq!(delegate::find("both", &path).unwrap(), in_first);
    fs::set_permissions(&in_first, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(delegate::find("both", &path).unwrap(), in_second, "skips what cannot be run");
    symlink(&in_second, first.0.join("link")).unwrap();
    assert_eq!(delegate::find("link", &path).unwrap(), first.0.join("link"));
}

#[test]
fn a_plugin_that_is_not_found_is_reported_with_where_it_was_looked_for() {
    let plugins = Plugins::new();
    fs::write(plugins.0.join("text"), "").unwrap();
    fs::create_dir(plugins.0.join("folder")).unwrap();
    let dir = plugins.0.display().to_string();
    let path = [PathBuf::from("/nonexistent"), plugins.0.clone()];
    for (name, problem) in [
        ("text", "is not executable"),
        ("folder", "is not a regular file"),
        ("nothing", "is not there"),
    ] {
        let error = delegate::find(name, &path).unwrap_err();
        assert!(matches!(&error, Error::NotFound { tried, .. } if tried.len() == 2), "{error}");
        let said = error.to_string();
        assert!(said.contains(&format!("/nonexistent/{name} is not there")), "{said}");
        assert!(said.contains(&format!("{dir}/{name} {problem}")), "{said}");
    }
    // Neither an empty CNI_PATH nor an empty part of it leads to a search of PATH.
    for path in [&[][..], &[PathBuf::new()][..]] {
        let error = delegate::find("sh", path).unwrap_err();
        assert!(error.to_string().contains("CNI_PATH: it is empty"), "{error}");
    }
}

#[test]
fn a_type_that_leads_elsewhere_is_refused() {
    let plugins = Plugins::new();
    plugins.script("plugin", "");
    fs::create_dir(plugins.0.join("inner")).unwrap();
    let path = [plugins.0.join("inner")];
    for name in ["", ".", "..", "../plugin", "/bin/sh", "a/b", "a\0b"] {
        let error = delegate::find(name, &path).unwrap_err();
        assert!(matches!(error, Error::Type(_)), "{name:?}: {error}");
    }
}

#[test]
fn the_plugin_gets_verb_environment_and_configuration() {
    let plugins = Plugins::new();
    let plugin = plugins.script(
        "echo",
        r#"printf '{"verb": "%s", "path": "%s", "config": %s}' "$CNI_COMMAND" "$PATH" "$(cat)""#,
    );
    let config = br#"{"name": "net", "ipam": {"type": "echo"}}"#;
    let result = delegate::add(&plugin, config).unwrap();
    assert_eq!(
        result,
        json!({
            "verb": "ADD",
            "path": std::env::var("PATH").unwrap(),
            "config": {"name": "net", "ipam": {"type": "echo"}},
        })
    );

    let noted = plugins.script("note", r#"echo "$CNI_COMMAND" >>"$here/verbs""#);
    delegate::check(&noted, b"{}").unwrap();
    delegate::del(&noted, b"{}").unwrap();
    delegate::gc(&noted, b"{}").unwrap();
    delegate::status(&noted, b"{}").unwrap();
    assert_eq!(plugins.read("verbs"), "CHECK\nDEL\nGC\nSTATUS\n");
}

#[test]
fn a_plugins_own_error_keeps_its_code_and_words() {
    let plugins = Plugins::new();
    let plugin = plugins.script(
        "full",
        r#"echo "$CNI_COMMAND" >>"$here/verbs"
        [ "$CNI_COMMAND" = DEL ] && exit 0
        echo '{"cniVersion": "1.0.0", "code": 77, "msg": "all gone", "details": "of 254"}'
        exit 3"#,
    );
    let failed = |result: Result<(), Error>| match result {
        Err(Error::Failed { plugin, error }) => {
            assert_eq!(plugin, "full");
            (error.code, error.msg, error.details)
        }
        other => panic!("{other:?}"),
    };
    let expected = (77, "all gone".to_owned(), "of 254".to_owned());
    assert_eq!(failed(delegate::check(&plugin, b"{}")), expected);
    assert_eq!(failed(delegate::status(&plugin, b"{}")), expected);
    assert_eq!(plugins.read("verbs"), "CHECK\nSTATUS\n", "these have nothing to undo");
    assert_eq!(failed(delegate::add(&plugin, b"{}").map(drop)), expected);
    assert_eq!(plugins.read("verbs"), "CHECK\nSTATUS\nADD\nDEL\n");
}

#[test]
fn a_del_that_fails_after_a_failed_add_is_told_in_the_details() {
    let plugins = Plugins::new();
    let plugin = plugins
        .script("stuck", r#"echo "{\"code\": 11, \"msg\": \"$CNI_COMMAND is stuck\"}"; exit 1"#);
    match delegate::add(&plugin, b"{}").unwrap_err() {
        Error::Failed { error, .. } => {
            assert_eq!((error.code, error.msg.as_str()), (11, "ADD is stuck"));
            assert!(error.details.contains("DEL is stuck"), "{}", error.details);
        }
        other => panic!("{other:?}"),
    }

    let plugin = plugins.script("dumb", "exit 9");
    let error = delegate::add(&plugin, b"{}").unwrap_err();
    assert!(matches!(error, Error::NotUndone { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("plugin dumb ended with exit code 9"), "{said}");
    assert!(said.contains("a lease may be left"), "{said}");
}

#[test]
fn senseless_answers_are_quoted_and_undone() {
    let plugins = Plugins::new();
    let plugin = |name: &str, add: &str| {
        let script = format!(
            "echo $CNI_COMMAND >>$here/{name}.verbs\n[ $CNI_COMMAND = DEL ] || {{ {add}; }}"
        );
        plugins.script(name, &script)
    };
    for (name, add, says) in [
        (
            "garbage",
            "echo 'starting up...'; echo '{}'",
            "plugin garbage succeeded, but printed no result",
        ),
        ("list", "echo '[1]'", "not an object"),
        ("mute", ":", "printed no result on stdout"),
        ("binary", r"printf '\377\001'", "printed no result on stdout"),
        ("confused", "echo 'what?'; exit 4", "ended with exit code 4, but printed no error"),
        ("codeless", r#"echo '{"msg": "bad"}'; exit 4"#, "missing field `code`"),
    ] {
        let error = delegate::add(&plugin(name, add), b"{}").unwrap_err();
        assert!(matches!(error, Error::Garbled { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert_eq!(plugins.read(&format!("{name}.verbs")), "ADD\nDEL\n");
    }
    let error = delegate::add(&plugin("garbage", "echo 'starting up...'"), b"{}").unwrap_err();
    assert!(error.to_string().ends_with(r#""starting up...\n""#), "{error}");
    let error = delegate::add(&plugin("long", "head -c 1000 /dev/zero | tr '\\0' x"), b"{}");
    let said = error.unwrap_err().to_string();
    assert!(said.ends_with(r#"xxx"..."#) && said.len() < 400, "{said}");

    let error = delegate::add(&plugin("silent", "echo 'no lease' >/dev/null; exit 2"), b"{}");
    assert!(matches!(error, Err(Error::Silent { code: 2, .. })), "{error:?}");
}

#[test]
fn a_killed_plugin_is_reported_with_the_signal() {
    let plugins = Plugins::new();
    let plugin = plugins.script("victim", "[ $CNI_COMMAND = DEL ] || kill -KILL $$");
    let error = delegate::add(&plugin, b"{}").unwrap_err();
    assert!(matches!(&error, Error::Killed { signal, .. } if signal == "SIGKILL"), "{error}");
}

#[test]
fn output_has_a_limit_and_the_plugin_does_not_outlive_it() {
    let plugins = Plugins::new();
    let fits = plugins.script("fits", "head -c 1048576 /dev/zero");
    let too_long = plugins.script("too-long", "exec head -c 2097152 /dev/zero");
    let goes_on = "echo $$ >$here/pid; head -c 2097152 /dev/zero; exec sleep 60";
    let goes_on = plugins.script("goes-on", goes_on);
    let pid = in_time(move || {
        assert_eq!(delegate::run(Verb::Add, &fits, b"").unwrap().len(), delegate::OUTPUT_MAX);
        for plugin in [too_long, goes_on] {
            let error = delegate::del(&plugin, b"").unwrap_err();
            assert!(matches!(error, Error::TooLong { .. }), "{error}");
        }
        plugins.read("pid")
    });
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH), "killed and waited for");
}

#[test]
fn much_to_say_on_both_sides_blocks_neither() {
    let plugins = Plugins::new();
    let spaces = |count: usize| format!("head -c {count} /dev/zero | tr '\\0' ' '");
    let speaks_first = plugins.script(
        "speaks-first",
        &format!("{}; printf '{{\"read\": %s}}' $(wc -c)", spaces(500_000)),
    );
    let deaf = plugins.script("deaf", &format!("{}; echo '{{}}'", spaces(500_000)));
    let deaf_and_closed = plugins.script("deaf-and-closed", "exec <&-; sleep 0.2; echo '{}'");
    in_time(move || {
        let _plugins = plugins;
        let config = vec![b' '; 3_000_000];
        let result = delegate::add(&speaks_first, &config).unwrap();
        assert_eq!(result, json!({"read": 3_000_000}));
        assert_eq!(delegate::add(&deaf, &config).unwrap(), json!({}));
        assert_eq!(delegate::add(&deaf_and_closed, &config).unwrap(), json!({}));
    });
}

#[test]
fn what_a_plugin_leaves_running_is_not_waited_for() {
    let plugins = Plugins::new();
    // The sleep keeps the plugin's stdout open.
    let plugin = plugins.script("parent", "sleep 60 & echo $! >$here/pid; echo '{\"a\": 1}'");
    let (result, pid) = in_time(move || (delegate::add(&plugin, b"{}"), plugins.read("pid")));
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    kill(pid, Signal::SIGKILL).expect("the sleep was left alone");
    assert_eq!(result.unwrap(), json!({"a": 1}));
}

#[test]
fn a_plugin_that_hangs_is_killed() {
    let plugins = Plugins::new();
    let note =
        "echo $CNI_COMMAND >>$here/verbs; [ $CNI_COMMAND = DEL ] && exit; echo $$ >$here/pid";
    let silent = plugins.script("silent", &format!("{note}; exec sleep 60"));
    // Neither does it help to have printed an answer, or to be printing one, as long as it does not end.
    let closed = plugins.script("closed", &format!("{note}; echo '{{}}'; exec >&-; exec sleep 60"));
    let busy =
        plugins.script("busy", &format!("{note}; while :; do echo; sleep 0.01 </dev/null; done"));
    in_time(move || {
        for plugin in [silent, closed, busy] {
            let start = std::time::Instant::now();
            let error = delegate::add(&plugin, br#"{"delegateTimeout": 1}"#).unwrap_err();
            let said = error.to_string();
            assert!(matches!(error, Error::TooSlow { seconds: 1, .. }), "{said}");
            assert!(said.contains("within 1 s and was killed"), "{said}");
            assert!(start.elapsed() >= Duration::from_secs(1));
            let pid = Pid::from_raw(plugins.read("pid").trim().parse().unwrap());
            assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH), "killed and waited for");
        }
        assert_eq!(plugins.read("verbs"), "ADD\nDEL\n".repeat(3));
    });
}

#[test]
fn a_plugin_that_cannot_be_started_is_not_asked_to_undo() {
    let plugins = Plugins::new();
    let path = plugins.0.join("strange");
    fs::write(&path, "#!/nonexistent/interpreter\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    for plugin in [path.as_path(), Path::new("/nonexistent/plugin")] {
        let error = delegate::add(plugin, b"{}").unwrap_err();
        assert!(matches!(error, Error::Start { .. }), "{error}");
        assert!(error.to_string().contains(plugin.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_plugin_that_is_just_being_installed_is_waited_for() {
    let plugins = Plugins::new();
    let plugin = plugins.script("fresh", "echo '{}'");
    let writer = OpenOptions::new().append(true).mode(0o755).open(&plugin).unwrap();
    let install = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(writer);
    });
    assert_eq!(delegate::add(&plugin, b"{}").unwrap(), json!({}));
    install.join().unwrap();
}
