//! A person at a host's shell, who runs causeway's own commands.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::call::{Outcome, await_end};
use super::{Host, PLUGINS};

/// The folder of configurations that a person's NETCONFPATH names.
pub const CONF_DIR: &str = "/run/net.d";

/// Somebody with an environment.
#[derive(Clone)]
pub struct Person<'h> {
    host: &'h Host,
    env: BTreeMap<String, String>,
}

impl<'h> Person<'h> {
    /// Somebody on `host`, with causeway's plugins on CNI_PATH.
    pub fn on(host: &'h Host) -> Self {
        let person = Self { host, env: BTreeMap::new() };
        person
            .with("NETCONFPATH", CONF_DIR)
            .with("CNI_PATH", &format!("{PLUGINS}/causeway"))
            .with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// The same with a variable set.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut env = self.env.clone();
        env.insert(name.to_owned(), value.to_owned());
        Self { host: self.host, env }
    }

    /// Writes a configuration list.
    pub fn configure(&self, file: &str, list: &Value) {
        self.host.write(&format!("{CONF_DIR}/{file}"), &format!("{list:#}\n"));
    }

    /// Runs `causeway` with these words, split at white space.
    pub fn causeway(&self, words: &str) -> Outcome {
        let words: Vec<&str> = words.split_whitespace().collect();
        let child = self.start(&super::program().to_string_lossy(), &words, Stdio::null());
        Outcome::new(format!("causeway {}", words.join(" ")), &await_end(child))
    }

    /// Starts a program in the person's surroundings; its stdout and stderr are pipes.
    pub fn start(&self, program: &str, words: &[&str], stdin: Stdio) -> Child {
        self.host.inside(|| {
            Command::new(program)
                .args(words)
                .env_clear()
                .envs(&self.env)
                .stdin(stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("start {program}: {e}"))
        })
    }

    /// What a command prints that must succeed.
    pub fn succeeds(&self, words: &str) -> String {
        let said = self.causeway(words);
        assert_eq!(said.status, Some(0), "{said}");
        said.stdout
    }

    /// The JSON that a command prints with `--output json`.
    pub fn json(&self, words: &str) -> Value {
        let text = self.succeeds(&format!("{words} --output json"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words}: no JSON ({e}): {text}"))
    }

    /// A command must fail, and stderr hold every one of these words.
    pub fn fails(&self, words: &str, expected: &[&str]) {
        let said = self.causeway(words);
        assert_eq!(said.status, Some(1), "{said}");
        for word in expected {
            assert!(said.stderr.contains(word), "stderr does not say {word:?}: {said}");
        }
    }
}
