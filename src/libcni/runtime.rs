//! The verbs over a configuration list (CNI spec 1.1.0, section 3), in the order and with the input
//! that libcni gives plugins.
//!
//! Two things are kinder than libcni, since here a person waits for the outcome: an ADD that fails is
//! followed by DEL of the plugins that were asked, and a DEL goes on after a plugin that failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Attachment, Cached, Error, NetworkList, Plugin, cache};
use crate::delegate;
use crate::logging::TOLD_VARIABLE;
use crate::plugins;
use crate::protocol::config::ValidAttachment;
use crate::protocol::request::Verb;
use crate::protocol::result::AddResult;
use crate::protocol::version::Version;

/// This program, whatever its path is called by now.
const SELF_PROGRAM: &str = "/proc/self/exe";

/// Where plugins are and results are kept.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// CNI_PATH, split.
    pub path: Vec<PathBuf>,
    /// The `results` folder.
    pub results: PathBuf,
}

/// What CHECK came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Every plugin found the attachment as it should be.
    Good,
    /// The list says `disableCheck`; nobody was asked.
    Disabled,
    /// There is no CHECK in the list's version.
    TooOld,
}

/// What all plugins of one ADD have in common.
struct Chain<'a> {
    list: &'a NetworkList,
    version: Version,
    attachment: &'a Attachment,
}

impl Runtime {
    /// Attaches: every plugin in order, each with the result of the one before. The last result is
    /// kept, and given in the form of the list's version.
    ///
    /// When a plugin fails, it and those before it are asked to DEL, last first, unless `keep` says
    /// to leave what is there for a look.
    ///
    /// # Errors
    /// The plugin's failure; [`Error::NotUndone`] when something may be left.
    pub fn add(
        &self,
        list: &NetworkList,
        attachment: &Attachment,
        keep: bool,
    ) -> Result<AddResult, Error> {
        attachment.validate(&list.name)?;
        let chain = Chain { list, version: list.version().map_err(Error::Version)?, attachment };
        let mut result = None;
        for (place, plugin) in list.plugins.iter().enumerate() {
            match self.add_one(&chain, place, plugin, result.as_ref()) {
                Ok(answer) => result = Some(answer),
                Err(error) if keep => return Err(error),
                Err(error) => return Err(self.take_back(&chain, place, error)),
            }
        }
        let result = result.unwrap_or_default();
        let kept = result.render(chain.version).map_err(Error::Version).and_then(|value| {
            let cached = Cached::new(&list.name, attachment, &list.bytes, value);
            cache::write(&self.results, &cached)
        });
        match kept {
            Ok(()) => Ok(result),
            Err(error) if keep => Err(error),
            Err(error) => Err(self.take_back(&chain, list.plugins.len().saturating_sub(1), error)),
        }
    }

    fn add_one(
        &self,
        chain: &Chain<'_>,
        place: usize,
        plugin: &Plugin,
        previous: Option<&AddResult>,
    ) -> Result<AddResult, Error> {
        let unusable =
            |source| Error::Result { place: place + 1, plugin: plugin.plugin_type.clone(), source };
        let previous = previous.map(|one| one.render(chain.version)).transpose();
        let previous = previous.map_err(unusable)?;
        let output = self.run(Verb::Add, chain.list, place, Some(chain.attachment), |config| {
            if let Some(previous) = previous {
                config.insert("prevResult".to_owned(), previous);
            }
        })?;
        let value: Value = serde_json::from_slice(&output).unwrap_or_default();
        AddResult::read(&value).map_err(unusable)
    }

    /// DEL of what an ADD that failed at `place` has asked.
    fn take_back(&self, chain: &Chain<'_>, place: usize, error: Error) -> Error {
        let mut left = Vec::new();
        for place in (0..=place).rev() {
            let done = self.run(Verb::Del, chain.list, place, Some(chain.attachment), |_| ());
            // What was never found to be run has made nothing.
            let never_ran = matches!(
                &done,
                Err(Error::Running { source, .. })
                    if matches!(**source, delegate::Error::NotFound { .. })
            );
            // Nor has what refuses DEL for the very reason for which it refused ADD, such as its
            // configuration.
            let refuses_alike = matches!(
                (&done, &error),
                (
                    Err(Error::Plugin { place: this, error: of_del, .. }),
                    Error::Plugin { place: failed, error: of_add, .. },
                ) if this == failed && of_del == of_add
            );
            if let Err(failure) = done
                && !never_ran
                && !refuses_alike
            {
                left.push(failure.to_string());
            }
        }
        if left.is_empty() { error } else { Error::NotUndone { error: Box::new(error), left } }
    }

    /// Asks every plugin whether the attachment is as ADD left it.
    ///
    /// # Errors
    /// The first plugin that finds it different.
    pub fn check(
        &self,
        list: &NetworkList,
        attachment: &Attachment,
        cached: Option<&Cached>,
    ) -> Result<Checked, Error> {
        attachment.validate(&list.name)?;
        let version = list.version().map_err(Error::Version)?;
        if version < Verb::Check.least_version() {
            return Ok(Checked::TooOld);
        }
        if list.disable_check {
            return Ok(Checked::Disabled);
        }
        let previous = cached.map(|one| one.result_as(version)).transpose();
        let previous = previous.map_err(|error| unusable(cached, error))?;
        for place in 0..list.plugins.len() {
            let previous = previous.clone();
            self.run(Verb::Check, list, place, Some(attachment), |config| {
                if let Some(previous) = previous {
                    config.insert("prevResult".to_owned(), previous);
                }
            })?;
        }
        Ok(Checked::Good)
    }

    /// Detaches: every plugin, last first. The kept result is forgotten when all have done it.
    ///
    /// # Errors
    /// What failed; the result stays then, and DEL can be tried again.
    pub fn del(
        &self,
        list: &NetworkList,
        attachment: &Attachment,
        cached: Option<&Cached>,
    ) -> Result<(), Error> {
        attachment.validate(&list.name)?;
        let version = list.version().map_err(Error::Version)?;
        // A result that cannot be read must not keep anybody from removing the attachment.
        let previous = cached.filter(|_| version >= Version::V0_4_0);
        let previous = previous.and_then(|one| one.result_as(version).ok());
        let mut failures = Vec::new();
        for place in (0..list.plugins.len()).rev() {
            let previous = previous.clone();
            let done = self.run(Verb::Del, list, place, Some(attachment), |config| {
                if let Some(previous) = previous {
                    config.insert("prevResult".to_owned(), previous);
                }
            });
            failures.extend(done.err());
        }
        if failures.is_empty() {
            let path = cached.map(|one| one.path.clone()).unwrap_or_else(|| {
                let owner = attachment.owner(&list.name);
                cache::path_of(&self.results, &owner)
            });
            failures.extend(cache::remove(&path).err());
        }
        together(failures)
    }

    /// Removes what belongs to none of the valid attachments: those in `stale` by DEL, with the result that
    /// is kept of each; then, from version 1.1.0 on, whatever else the plugins find by GC. Does nothing when
    /// the list says `disableGC`.
    ///
    /// # Errors
    /// All that failed.
    pub fn gc(
        &self,
        list: &NetworkList,
        stale: &[(Attachment, Option<Cached>)],
        valid: &[ValidAttachment],
    ) -> Result<(), Error> {
        if list.disable_gc {
            return Ok(());
        }
        let version = list.version().map_err(Error::Version)?;
        let mut failures = Vec::new();
        for (attachment, cached) in stale {
            failures.extend(self.del(list, attachment, cached.as_ref()).err());
        }
        if version >= Verb::Gc.least_version() {
            let valid: Vec<Value> = valid
                .iter()
                .map(|one| {
                    serde_json::json!({ "containerID": one.container_id, "ifname": one.ifname })
                })
                .collect();
            for place in 0..list.plugins.len() {
                let done = self.run(Verb::Gc, list, place, None, |config| {
                    // The specification called the key by both names.
                    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
                        config.insert(key.to_owned(), Value::Array(valid.clone()));
                    }
                });
                failures.extend(done.err());
            }
        }
        together(failures)
    }

    /// Asks every plugin whether it can serve an ADD. Says false when the list's version has no
    /// STATUS, and nobody was asked.
    ///
    /// # Errors
    /// The first plugin that cannot.
    pub fn status(&self, list: &NetworkList) -> Result<bool, Error> {
        if list.version().map_err(Error::Version)? < Verb::Status.least_version() {
            return Ok(false);
        }
        for place in 0..list.plugins.len() {
            self.run(Verb::Status, list, place, None, |_| ())?;
        }
        Ok(true)
    }

    /// The program of a plugin: from CNI_PATH, or this very one if the type is one of its own.
    ///
    /// # Errors
    /// As [`delegate::find`].
    pub fn program(&self, plugin_type: &str) -> Result<PathBuf, delegate::Error> {
        match delegate::find(plugin_type, &self.path) {
            Err(delegate::Error::NotFound { .. })
                if plugin_type == plugins::SELF || plugins::find(plugin_type).is_some() =>
            {
                Ok(PathBuf::from(SELF_PROGRAM))
            }
            other => other,
        }
    }

    fn run(
        &self,
        verb: Verb,
        list: &NetworkList,
        place: usize,
        attachment: Option<&Attachment>,
        inject: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Vec<u8>, Error> {
        let Some(plugin) = list.plugins.get(place) else { return Ok(Vec::new()) };
        let mut config = plugin.config.clone();
        config.insert("name".to_owned(), Value::from(list.name.as_str()));
        config.insert("cniVersion".to_owned(), Value::from(list.cni_version.as_str()));
        if let Some(attachment) = attachment {
            let asked_for = plugin.asked_for(&attachment.capability_args);
            if !asked_for.is_empty() {
                config.insert("runtimeConfig".to_owned(), Value::Object(asked_for));
            }
        }
        inject(&mut config);
        let stdin = Value::Object(config).to_string();
        let environment = self.environment(attachment);
        let ran = self.program(&plugin.plugin_type).and_then(|program| {
            // A person who waits can interrupt it, and a plugin may itself wait for others.
            let output = delegate::run_with(verb, &program, stdin.as_bytes(), &environment, None)?;
            if verb == Verb::Add {
                delegate::parse_result(&program, &output)?;
            }
            Ok(output)
        });
        ran.map_err(|source| {
            let (place, plugin) = (place + 1, plugin.plugin_type.clone());
            match source {
                delegate::Error::Failed { error, .. } => {
                    Error::Plugin { verb, place, plugin, error }
                }
                source => Error::Running { verb, place, plugin, source: Box::new(source) },
            }
        })
    }

    fn environment(&self, attachment: Option<&Attachment>) -> BTreeMap<String, String> {
        let path: Vec<_> = self.path.iter().map(|one| one.to_string_lossy()).collect();
        let netns = attachment.and_then(|one| one.netns.as_deref()).unwrap_or(Path::new(""));
        let of = |value: fn(&Attachment) -> String| attachment.map(value).unwrap_or_default();
        [
            ("CNI_CONTAINERID", of(|one| one.container_id.clone())),
            ("CNI_NETNS", netns.to_string_lossy().into_owned()),
            ("CNI_IFNAME", of(|one| one.ifname.clone())),
            ("CNI_ARGS", of(Attachment::args_text)),
            ("CNI_PATH", path.join(":")),
            // What a plugin fails with is this program's own error.
            (TOLD_VARIABLE, "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn unusable(cached: Option<&Cached>, error: crate::protocol::error::Error) -> Error {
    Error::Cache {
        path: cached.map(|one| one.path.clone()).unwrap_or_default(),
        doing: "use the cached result",
        source: std::io::Error::other(error.to_string()),
    }
}

fn together(mut failures: Vec<Error>) -> Result<(), Error> {
    match failures.pop() {
        None => Ok(()),
        Some(only) if failures.is_empty() => Err(only),
        Some(last) => {
            failures.push(last);
            Err(Error::Several(failures))
        }
    }
}
