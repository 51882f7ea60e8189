//! Several plugins in one call: `{"type": "causeway", "plugins": [ … ]}`, whose entries are those of
//! a configuration list (CNI spec 1.1.0, section 1). What a runtime would do for each entry by
//! itself (section 3, "Deriving request configuration from plugin configuration") is done here.
//!
//! Entries whose type is none of this program's are executed, in their place.

use std::path::PathBuf;

use serde_json::Value;

use super::{Error, Role, SELF, Step, TYPES, Type};
use crate::delegate;
use crate::protocol::config::{NetworkConfig, member};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

/// The key that makes a call one of several plugins.
pub const PLUGINS: &str = "plugins";

/// What a call is made of, in the order of ADD, with the request that each has to serve.
pub struct Entries {
    entries: Vec<Entry>,
}

struct Entry {
    request: Request,
    /// `None` for a foreign type.
    own: Option<&'static Type>,
}

/// A plugin in its place.
pub enum Member<'r> {
    /// One of this program's.
    Own(Box<dyn Step + 'r>),
    /// Another program.
    Foreign(Foreign<'r>),
}

/// Another program's plugin.
pub struct Foreign<'r> {
    /// What it is to be asked.
    pub request: &'r Request,
}

impl Entries {
    /// The entries of a request; `None` when it is for one plugin.
    ///
    /// # Errors
    /// A list that is none, or an entry that cannot be part of one.
    pub fn of(program: &str, request: &Request) -> Result<Option<Self>, Error> {
        let asked = program == SELF || super::find(program).is_none();
        if !asked || request.config.plugin_type != SELF {
            return Ok(None);
        }
        let Some(list) = member(&request.config.value, PLUGINS) else { return Ok(None) };
        let Some(list) = list.as_array().filter(|list| !list.is_empty()) else {
            return Err(Error::config(PLUGINS, "must be a list of at least one plugin"));
        };
        let entries = list
            .iter()
            .enumerate()
            .map(|(place, entry)| Entry::of(request, entry).map_err(|error| error.in_entry(place)));
        let entries = Self { entries: entries.collect::<Result<_, _>>()? };
        entries.check()?;
        Ok(Some(entries))
    }

    fn check(&self) -> Result<(), Error> {
        let mut interfaces = 0;
        for (place, entry) in self.entries.iter().enumerate() {
            let Some(own) = entry.own else { continue };
            let refuse = |problem: String| {
                Err(Error::config(
                    format!("{PLUGINS}[{place}].type"),
                    format!("{}: {problem}", own.name),
                ))
            };
            match own.role {
                Role::Addresses => {
                    return refuse("is an address source; name it in another entry's ipam".into());
                }
                Role::Interface if interfaces > 0 => {
                    return refuse(
                        "a second plugin that makes the container's interface; one list makes one"
                            .into(),
                    );
                }
                Role::Interface => interfaces += 1,
                Role::Chained | Role::Loopback => {}
            }
        }
        Ok(())
    }

    /// Has every plugin read its configuration.
    ///
    /// # Errors
    /// A wrong key or value, named by its path from the list.
    pub fn open(&self) -> Result<Vec<Member<'_>>, Error> {
        let members = self.entries.iter().enumerate().map(|(place, entry)| match entry.own {
            Some(own) => {
                (own.open)(&entry.request).map(Member::Own).map_err(|error| error.in_entry(place))
            }
            None => Ok(Member::Foreign(Foreign { request: &entry.request })),
        });
        members.collect()
    }
}

impl Entry {
    fn of(request: &Request, entry: &Value) -> Result<Self, Error> {
        let config = NetworkConfig::of_entry(&request.config, entry)?;
        let own = match config.plugin_type.as_str() {
            SELF if member(entry, PLUGINS).is_some() => {
                return Err(Error::config(
                    PLUGINS,
                    "a list in a list; put the entries into the outer one",
                ));
            }
            SELF => TYPES.first(),
            name => super::find(name),
        };
        Ok(Self { request: Request { config, ..request.clone() }, own })
    }
}

impl Foreign<'_> {
    /// The program.
    ///
    /// # Errors
    /// That no directory of CNI_PATH has it.
    pub fn program(&self) -> Result<PathBuf, Error> {
        Ok(delegate::find(&self.request.config.plugin_type, &self.request.path)?)
    }

    /// The configuration to give it on stdin, with `previous` as its prevResult.
    ///
    /// # Errors
    /// A result that has no form in the configuration's version.
    pub fn stdin(&self, previous: Option<&AddResult>) -> Result<Value, Error> {
        let config = &self.request.config;
        let mut value = config.value.clone();
        if let (Some(map), Some(previous)) = (value.as_object_mut(), previous) {
            map.insert("prevResult".to_owned(), previous.render(config.version)?);
        }
        Ok(value)
    }
}
