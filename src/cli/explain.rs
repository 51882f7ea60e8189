//! `causeway explain`: what an ADD would do, and what of the kernel it needs.

mod needs;

use crate::exit_code::ExitCode;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::attach::namespace::Target;
use super::output::{self, Format, styled};
use crate::kernel::features::{self, Feature, State};
use crate::kernel::netns::{self, Namespace};
use crate::libcni::conf_dir::load_file;
use crate::libcni::{BIN_DIR, ConfError, NetworkList};
use crate::plugins::call::{Explained, explain_each};
use crate::plugins::{self, SELF};
use crate::protocol;
use crate::protocol::request::Request;
use crate::protocol::version::Version;

/// What is to be explained.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway explain /etc/cni/net.d/10-pods.conflist
  causeway explain 10-pods.conflist --netns blue --container-id try
  CAP_ARGS='{\"portMappings\": [{\"hostPort\": 8080, \"containerPort\": 80}]}' \\
    causeway explain 10-pods.conflist

Also read from the environment, as runtimes and cnitool do: CNI_PATH, CNI_ARGS, CAP_ARGS.

Ends with 0 if an ADD can be expected to work, with 1 if not.")]
pub struct Explain {
    /// A configuration list, or the configuration of one plugin
    #[arg(value_name = "CONF")]
    file: PathBuf,
    /// The container's namespace: a name below /run/netns, a path, or pid:N; without it, one that is
    /// made for the occasion and thrown away
    #[arg(long)]
    netns: Option<String>,
    /// The name of the interface in the container
    #[arg(long, default_value = "eth0")]
    ifname: String,
    /// The container's ID
    #[arg(long, default_value = "explain")]
    container_id: String,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be loaded.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// CAP_ARGS is no JSON object.
    #[error("CAP_ARGS: must be a JSON object, such as {{\"portMappings\": [ … ]}}: {0}")]
    Capabilities(String),
    /// What is to be a namespace is none.
    #[error(transparent)]
    Target(Box<super::error::Error>),
    /// No namespace could be made.
    #[error("{0}; run as root, or name one by --netns")]
    Namespace(#[from] netns::Error),
    /// The request is wrong.
    #[error(transparent)]
    Request(#[from] protocol::error::Error),
    /// ADD would fail.
    #[error("an ADD would fail: {0}")]
    Add(#[from] plugins::Error),
    /// Stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] io::Error),
}

impl Explain {
    /// Shows it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        let list = load_file(&self.file)?;
        // Kept until the end: the path leads there only as long.
        let target = self.netns.as_deref().map(Target::read).transpose();
        let (_scratch, netns) = match target.map_err(|error| Error::Target(Box::new(error)))? {
            Some(target) if target != Target::New => {
                (None, target.paths().into_iter().next().unwrap_or_default())
            }
            _ => {
                let scratch = Namespace::unnamed()?;
                let path = scratch.path().to_owned();
                (Some(scratch), path)
            }
        };
        let request = self.request(&list, &netns)?;
        let explained = explain_each(SELF, &request)?;
        let needs: Vec<_> = explained.parts.iter().flat_map(|part| &part.resources).collect();
        let features = features::look_for(&needs::features(&needs));
        let lacking = features.iter().any(|(_, state)| *state == State::Lacking);
        let version = request.config.version;
        match self.output {
            Format::Text => output::print(&self.in_words(&list, &explained, &features))?,
            Format::Json => {
                output::print_json(&self.in_json(&list, &explained, &features, version)?)?;
            }
        }
        Ok(if lacking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The request of a runtime that would run the whole list at once.
    fn request(&self, list: &NetworkList, netns: &Path) -> Result<Request, Error> {
        let mut config = json!({
            "name": list.name,
            "type": SELF,
            "plugins": list.all_plugins(),
        });
        if let Some(map) = config.as_object_mut() {
            if !list.cni_version.is_empty() {
                map.insert("cniVersion".to_owned(), list.cni_version.clone().into());
            }
            if let Some(given) = capabilities()? {
                map.insert("runtimeConfig".to_owned(), Value::Object(given));
            }
        }
        let variable = |name: &str| -> Option<OsString> {
            match name {
                "CNI_COMMAND" => Some("ADD".into()),
                "CNI_CONTAINERID" => Some(self.container_id.clone().into()),
                "CNI_IFNAME" => Some(self.ifname.clone().into()),
                "CNI_NETNS" => Some(netns.into()),
                "CNI_PATH" => {
                    let given = std::env::var_os(name).filter(|path| !path.is_empty());
                    Some(given.unwrap_or_else(|| BIN_DIR.into()))
                }
                other => std::env::var_os(other),
            }
        };
        Ok(Request::read(&variable, &mut config.to_string().as_bytes())?)
    }

    fn in_words(
        &self,
        list: &NetworkList,
        explained: &Explained,
        features: &[(Feature, State)],
    ) -> String {
        let mut text = format!(
            "ADD of container {} to network {}, as {}, would:\n",
            self.container_id, list.name, self.ifname
        );
        let mut number = 0;
        for part in &explained.parts {
            text.push_str(&format!("\n{}\n", styled(output::STRONG, &part.plugin)));
            if part.resources.is_empty() {
                text.push_str(match explained.unknown {
                    Some(_) => "     what it does depends on the addresses\n",
                    None => "     nothing\n",
                });
            }
            for resource in &part.resources {
                number += 1;
                text.push_str(&format!("{number:4}. {}\n", resource.kind().describe()));
            }
        }
        if let Some(source) = &explained.unknown {
            text.push_str(&format!(
                "\nThe address source {source} says what it gives only when it is asked in earnest. \
                 What follows from its addresses is not shown.\n"
            ));
        } else if !explained.result.ips.is_empty() {
            let ips = explained.result.ips.iter().map(|ip| match ip.gateway {
                Some(gateway) => format!("{} by gateway {gateway}", ip.address),
                None => ip.address.to_string(),
            });
            let ips: Vec<_> = ips.collect();
            text.push_str(&format!("\nThe container would have {}.\n", ips.join(", ")));
        }
        if !features.is_empty() {
            text.push_str("\nIt needs of the kernel:\n");
            for (feature, state) in features {
                text.push_str(&format!("  {:26}{}\n", feature.name(), in_words(*feature, state)));
            }
        }
        text.push_str("\nNothing was changed.\n");
        text
    }

    fn in_json(
        &self,
        list: &NetworkList,
        explained: &Explained,
        features: &[(Feature, State)],
        version: Version,
    ) -> Result<Value, Error> {
        let mut plugins = Vec::new();
        for part in &explained.parts {
            let mut steps = Vec::new();
            for resource in &part.resources {
                let value = serde_json::to_value(resource).map_err(|source| {
                    protocol::error::Error::Serialize { what: "the plan", source }
                })?;
                steps.push(json!({ "does": resource.kind().describe(), "resource": value }));
            }
            plugins.push(json!({ "type": part.plugin, "steps": steps }));
        }
        let features: Vec<_> = features
            .iter()
            .map(|(feature, state)| {
                json!({ "name": feature.name(), "option": feature.option(), "state": word(state) })
            })
            .collect();
        let result = match explained.unknown {
            Some(_) => Value::Null,
            None => explained.result.render(version).map_err(Error::Request)?,
        };
        Ok(json!({
            "network": list.name,
            "file": self.file,
            "containerID": self.container_id,
            "ifname": self.ifname,
            "plugins": plugins,
            "result": result,
            "unknownSource": explained.unknown,
            "features": features,
        }))
    }
}

/// CAP_ARGS, which cnitool reads: what the runtime gives for capabilities.
fn capabilities() -> Result<Option<Map<String, Value>>, Error> {
    let Some(text) = std::env::var_os("CAP_ARGS").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let given = serde_json::from_str(&text.to_string_lossy());
    given.map(Some).map_err(|error| Error::Capabilities(error.to_string()))
}

fn word(state: &State) -> &'static str {
    match state {
        State::Here => "here",
        State::Loadable => "loadable",
        State::Lacking => "lacking",
        State::Unknown(_) => "unknown",
    }
}

fn in_words(feature: Feature, state: &State) -> String {
    match state {
        State::Here => styled(output::GOOD, "is here"),
        State::Loadable => {
            let modules = feature.modules();
            let word = if modules.len() == 1 { "module" } else { "modules" };
            format!("is loaded when it is used ({word} {})", modules.join(", "))
        }
        State::Lacking => {
            let lacking = styled(output::BAD, "is lacking");
            format!("{lacking} ({}): an ADD would fail", feature.option())
        }
        State::Unknown(problem) => format!("may be here or not: {problem}"),
    }
}
