//! Who is measured, and how each is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::Error;
use crate::call::Call;
use crate::network::{Kind, Network, Pod};

const IFNAME: &str = "eth0";

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Check,
    Del,
    Version,
}

impl Verb {
    /// The value of CNI_COMMAND.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Version => "VERSION",
        }
    }
}

/// A program, or a directory of programs, that is measured.
pub struct Contender {
    pub name: &'static str,
    pub path: PathBuf,
    /// What it says of its version.
    pub version: String,
    is_floor: bool,
}

impl Contender {
    /// Plugins in a directory.
    pub fn plugins(name: &'static str, directory: &Path) -> Result<Self, Error> {
        let path = directory
            .canonicalize()
            .map_err(Error::io(format!("find the plugins in {}", directory.display())))?;
        for program in ["bridge", "host-local"] {
            let program = path.join(program);
            if let Err(error) = program.metadata() {
                return Err(Error::io(format!("find {}", program.display()))(error));
            }
        }
        Ok(Self { name, version: version(&path.join("bridge")), path, is_floor: false })
    }

    /// The bare program in a directory.
    pub fn floor(directory: &Path) -> Result<Self, Error> {
        let path = directory
            .join("floor")
            .canonicalize()
            .map_err(Error::io(format!("find floor in {}", directory.display())))?;
        Ok(Self { name: "floor", path, version: "benches/floor.c".to_owned(), is_floor: true })
    }

    /// Whether the bridge must be made for it.
    pub fn needs_bridge(&self) -> bool {
        self.is_floor
    }

    /// Whether it hands out addresses.
    pub fn has_leases(&self) -> bool {
        !self.is_floor
    }

    /// The call for a verb. The floor under everything but ADD and DEL of a bridge is a process
    /// that does nothing.
    pub fn call(&self, verb: Verb, network: &Network, pod: &Pod) -> Call {
        let call = Call {
            who: self.name.to_owned(),
            verb: verb.name(),
            program: self.path.clone(),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: String::new(),
        };
        if self.is_floor {
            return Call { arguments: floor_arguments(verb, network, pod), ..call };
        }
        let program = match network.shape.kind {
            Kind::Bridge => "bridge",
            Kind::HostLocal => "host-local",
        };
        let mut environment = vec![
            ("CNI_COMMAND", verb.name().to_owned()),
            ("CNI_PATH", self.path.to_string_lossy().into_owned()),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ];
        let mut configuration = network.configuration();
        if verb == Verb::Version {
            configuration = json!({ "cniVersion": "1.0.0" });
        } else {
            environment.push(("CNI_CONTAINERID", pod.container_id.clone()));
            environment.push(("CNI_NETNS", pod.netns.clone()));
            environment.push(("CNI_IFNAME", IFNAME.to_owned()));
        }
        if matches!(verb, Verb::Check | Verb::Del)
            && let Value::Object(keys) = &mut configuration
        {
            keys.insert("prevResult".to_owned(), pod.result.clone());
        }
        Call {
            program: self.path.join(program),
            environment,
            stdin: configuration.to_string(),
            ..call
        }
    }
}

fn floor_arguments(verb: Verb, network: &Network, pod: &Pod) -> Vec<OsString> {
    let mut arguments: Vec<String> = Vec::new();
    match (network.shape.kind, verb) {
        (Kind::Bridge, Verb::Add) => {
            let link = format!("floor{}", pod.number);
            arguments.extend(["add", &pod.netns, &link, IFNAME, &network.bridge].map(String::from));
            for (address, gateway) in
                network.addresses(pod.number).into_iter().zip(network.gateways())
            {
                arguments.extend([address, gateway]);
            }
        }
        (Kind::Bridge, Verb::Del) => {
            arguments.extend(["del", &pod.netns, IFNAME].map(String::from));
        }
        _ => arguments.push("nothing".to_owned()),
    }
    arguments.into_iter().map(OsString::from).collect()
}

/// What a plugin says when a person calls it: the reference plugins print their version to stderr,
/// causeway answers --version.
fn version(plugin: &Path) -> String {
    let output = Command::new(plugin)
        .arg("--version")
        .env_remove("CNI_COMMAND")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}
