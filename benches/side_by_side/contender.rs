//! Who is measured, and how each is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::Error;
use crate::call::Call;
use crate::network::{IFNAME, Kind, Network, Pod};

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Check,
    Del,
    Gc,
    Version,
}

impl Verb {
    /// The value of CNI_COMMAND.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Gc => "GC",
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
    manner: Manner,
}

/// How a contender is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each plugin of a list by itself, as a runtime does.
    Each,
    /// One plugin for the whole list.
    AsOne,
    /// No plugin at all.
    Floor,
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
        Ok(Self { name, version: version(&path.join("bridge")), path, manner: Manner::Each })
    }

    /// The same plugins with a list of them as one.
    pub fn fused(&self) -> Self {
        Self {
            name: "fused",
            path: self.path.clone(),
            version: self.version.clone(),
            manner: Manner::AsOne,
        }
    }

    /// The bare program in a directory.
    pub fn floor(directory: &Path) -> Result<Self, Error> {
        let path = directory
            .join("floor")
            .canonicalize()
            .map_err(Error::io(format!("find floor in {}", directory.display())))?;
        Ok(Self {
            name: "floor",
            path,
            version: "benches/floor.c".to_owned(),
            manner: Manner::Floor,
        })
    }

    /// Whether a network of this kind tells it from the others, and it has the plugin for it. Debian's
    /// package of the reference lacks newer ones.
    pub fn takes_part(&self, kind: Kind) -> bool {
        match self.manner {
            Manner::Each if kind == Kind::Netkit => true,
            Manner::Each => self.path.join(kind.plugin()).exists(),
            Manner::AsOne => kind == Kind::Chain,
            // Nothing bare does what the others do.
            Manner::Floor => {
                matches!(kind, Kind::Bridge | Kind::HostDevice | Kind::HostLocal | Kind::Static)
            }
        }
    }

    /// Whether it has GC. The reference's newest release has none.
    pub fn collects(&self) -> bool {
        matches!(self.name, "causeway" | "fused")
    }

    /// Whether the bridge must be made for it.
    pub fn needs_bridge(&self) -> bool {
        self.manner == Manner::Floor
    }

    /// Whether it hands out addresses.
    pub fn has_leases(&self) -> bool {
        self.manner != Manner::Floor
    }

    /// Makes the calls for a verb, as a runtime would for the whole list, and gives the last answer.
    /// The floor under everything but ADD and DEL of a bridge and of a host-device is a process that
    /// does nothing.
    pub fn perform(
        &self,
        verb: Verb,
        network: &Network,
        pod: &Pod,
        make: &mut dyn FnMut(&Call) -> Result<String, Error>,
    ) -> Result<String, Error> {
        if self.manner == Manner::Floor {
            let arguments = floor_arguments(verb, network, pod);
            return make(&Call { arguments, ..self.call(verb, &self.path) });
        }
        let mut configurations = network.configurations(pod, self.manner == Manner::AsOne);
        match verb {
            Verb::Del => configurations.reverse(),
            Verb::Version => configurations = vec![json!({ "cniVersion": "1.0.0" })],
            Verb::Add | Verb::Check | Verb::Gc => {}
        }
        let mut previous = pod.result.clone();
        let mut answer = String::new();
        for mut configuration in configurations {
            if !previous.is_null()
                && let Value::Object(keys) = &mut configuration
            {
                keys.insert("prevResult".to_owned(), previous.clone());
            }
            let mut call = self.plugin_call(verb, &configuration);
            if verb != Verb::Version {
                call.environment.push(("CNI_CONTAINERID", pod.container_id.clone()));
                call.environment.push(("CNI_NETNS", pod.netns.clone()));
                call.environment.push(("CNI_IFNAME", IFNAME.to_owned()));
            }
            answer = make(&call)?;
            if verb == Verb::Add {
                previous = serde_json::from_str(&answer).unwrap_or(Value::Null);
            }
        }
        Ok(answer)
    }

    /// Makes the calls of GC, which removes every attachment that is not among the valid ones.
    pub fn collect(
        &self,
        network: &Network,
        valid: &[Pod],
        make: &mut dyn FnMut(&Call) -> Result<String, Error>,
    ) -> Result<(), Error> {
        let valid: Vec<_> = valid
            .iter()
            .map(|pod| json!({ "containerID": pod.container_id, "ifname": IFNAME }))
            .collect();
        for mut configuration in network.configurations_of_all(self.manner == Manner::AsOne) {
            if let Value::Object(keys) = &mut configuration {
                keys.insert("cniVersion".to_owned(), json!("1.1.0"));
                keys.insert("cni.dev/valid-attachments".to_owned(), json!(valid));
            }
            make(&self.plugin_call(Verb::Gc, &configuration))?;
        }
        Ok(())
    }

    /// A call of the plugin that a configuration is for, which is not yet about a pod.
    fn plugin_call(&self, verb: Verb, configuration: &Value) -> Call {
        let program = configuration.get("type").and_then(Value::as_str).unwrap_or("bridge");
        let environment = vec![
            ("CNI_COMMAND", verb.name().to_owned()),
            ("CNI_PATH", self.path.to_string_lossy().into_owned()),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ];
        let stdin = configuration.to_string();
        Call { environment, stdin, ..self.call(verb, &self.path.join(program)) }
    }

    fn call(&self, verb: Verb, program: &Path) -> Call {
        Call {
            who: self.name.to_owned(),
            verb: verb.name(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: String::new(),
        }
    }
}

fn floor_arguments(verb: Verb, network: &Network, pod: &Pod) -> Vec<OsString> {
    let mut arguments: Vec<String> = Vec::new();
    let addresses = || {
        let pairs = network.addresses(pod.number).into_iter().zip(network.gateways());
        pairs.flat_map(|(address, gateway)| [address, gateway])
    };
    match (network.shape.kind, verb) {
        (Kind::Bridge, Verb::Add) => {
            let link = format!("floor{}", pod.number);
            arguments.extend(["add", &pod.netns, &link, IFNAME, &network.bridge].map(String::from));
            arguments.extend(addresses());
        }
        (Kind::Bridge, Verb::Del) => {
            arguments.extend(["del", &pod.netns, IFNAME].map(String::from));
        }
        (Kind::HostDevice, Verb::Add) => {
            arguments.extend(["take", &pod.netns, &network.bridge, IFNAME].map(String::from));
            arguments.extend(addresses());
        }
        (Kind::HostDevice, Verb::Del) => {
            arguments.extend(["return", &pod.netns, &network.bridge, IFNAME].map(String::from));
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
