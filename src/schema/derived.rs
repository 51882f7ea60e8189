//! What the keys that a reader takes look like, from the very types that it reads them into: their
//! names as serde knows them, and their types and meanings as JSON Schema.

use std::collections::BTreeMap;

use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::{Keys, Known};
use crate::plugins as p;
use crate::protocol::version::Version;
use crate::{dhcp, ipam, protocol};

/// What a plugin's entry may have besides the keys that the plugin reads (CNI spec 1.1.0, section 1,
/// "Plugin configuration objects").
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(dead_code)]
struct Entry {
    /// What the runtime may give for an attachment: `portMappings`, `ipRanges`, `bandwidth`, `mac`,
    /// `ips`, `dns`, `aliases`, `deviceID` and the like.
    capabilities: BTreeMap<String, bool>,
    /// Arguments for whoever knows them; `args.cni` is for plugins.
    args: Map<String, Value>,
}

/// The keys of a list itself (CNI spec 1.1.0, section 1).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[allow(dead_code)]
struct List {
    /// The version of the specification that results and errors follow.
    #[schemars(extend("enum" = versions()))]
    cni_version: String,
    /// The versions among which a runtime may choose; 1.1.0 and later.
    cni_versions: Vec<String>,
    /// The network's name: letters, digits, `_`, `.` and `-`, the first a letter or digit.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    name: String,
    /// The runtime makes no CHECK calls.
    disable_check: bool,
    /// The runtime makes no GC calls; 1.1.0 and later.
    #[serde(rename = "disableGC")]
    disable_gc: bool,
    /// The runtime looks for no more plugins in the folder that is named as the network; 1.1.0 and
    /// later.
    load_only_inlined_plugins: bool,
}

fn versions() -> Vec<String> {
    Version::ALL.iter().map(ToString::to_string).collect()
}

/// Everything, from the types. A new plugin's keys get a line here.
pub fn all() -> Known {
    let plugins: Vec<(&str, Vec<KeySet>)> = vec![
        ("bridge", on_a_network::<p::bridge::settings::Keys>()),
        ("macvlan", on_a_network::<p::macvlan::settings::Keys>()),
        ("ipvlan", on_a_network::<p::ipvlan::settings::Keys>()),
        ("vlan", on_a_network::<p::vlan::settings::Keys>()),
        ("dummy", vec![]),
        ("host-local", vec![]),
        ("dhcp", vec![]),
        ("static", vec![]),
        ("loopback", vec![]),
        ("portmap", vec![KeySet::of::<p::portmap::settings::Keys>()]),
        ("firewall", vec![KeySet::of::<p::firewall::settings::Keys>()]),
        ("bandwidth", vec![KeySet::of::<p::bandwidth::settings::Keys>()]),
        ("tuning", vec![KeySet::of::<p::tuning::settings::Keys>()]),
        ("sbr", vec![KeySet::of::<p::sbr::settings::Keys>()]),
        ("ptp", pair()),
        ("netkit", pair()),
        ("host-device", on_a_network::<p::host_device::settings::Keys>()),
        ("tap", vec![KeySet::of::<p::tap::settings::Keys>()]),
        ("vrf", vec![KeySet::of::<p::vrf::settings::Keys>()]),
    ];
    let sources = [
        ("host-local", KeySet::of::<ipam::host_local::Keys>()),
        ("static", KeySet::of::<ipam::static_addresses::Keys>()),
        ("dhcp", KeySet::of::<dhcp::settings::Section>()),
    ];
    let common = [KeySet::of::<protocol::config::Keys>(), KeySet::of::<Entry>()];
    Known {
        plugins: plugins.iter().map(|(name, sets)| ((*name).to_owned(), Keys::of(sets))).collect(),
        sources: sources.map(|(name, set)| (name.to_owned(), Keys::of(&[set]))).into(),
        common: Keys::of(&common).without(&["name"]),
        list: Keys::of(&[KeySet::of::<List>()]),
    }
}

/// A plugin whose interface is on a network that may have routers.
fn on_a_network<T: DeserializeOwned + JsonSchema>() -> Vec<KeySet> {
    vec![KeySet::of::<T>(), KeySet::of::<p::slaac::Keys>()]
}

fn pair() -> Vec<KeySet> {
    vec![KeySet::of::<p::ptp::settings::Keys>(), KeySet::of::<p::ptp::settings::NetkitKeys>()]
}

impl Keys {
    fn of(sets: &[KeySet]) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut generator = SchemaGenerator::new(settings);
        let mut keys = Self::default();
        for set in sets {
            let mut schema = (set.schema)(&mut generator).to_value();
            let Some(Value::Object(own)) = schema.get_mut("properties").map(Value::take) else {
                continue;
            };
            // What the runtime sets has a name and no schema.
            let shown = (set.names)().iter().filter(|name| own.contains_key(**name));
            keys.names.extend(shown.map(|name| (*name).to_owned()));
            keys.schemas.extend(own.into_iter().map(|(name, schema)| (name, tidy(schema))));
        }
        keys
    }
}

/// What schemars says of numbers is more than editors ask for, and its descriptions keep the line
/// breaks of the source.
fn tidy(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(map) => {
            if map.get("format").is_some_and(Value::is_string) && map.contains_key("minimum") {
                map.remove("format");
            }
            map.remove("default");
            for (name, inner) in map.iter_mut() {
                if name == "description"
                    && let Some(text) = inner.as_str()
                {
                    *inner = Value::String(text.split_whitespace().collect::<Vec<_>>().join(" "));
                } else if name != "enum" {
                    *inner = tidy(inner.take());
                }
            }
        }
        Value::Array(list) => {
            for inner in list {
                *inner = tidy(inner.take());
            }
        }
        _ => {}
    }
    schema
}

/// The keys that one type is read from.
struct KeySet {
    names: fn() -> &'static [&'static str],
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl KeySet {
    /// The keys of a struct that derives `Deserialize` and [`JsonSchema`].
    const fn of<T: DeserializeOwned + JsonSchema>() -> Self {
        Self { names: names_of::<T>, schema: T::json_schema }
    }
}

fn names_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // A refusal is what the probe answers with.
    let _ = T::deserialize(Probe(&mut names));
    names
}

/// Notes which fields a struct asks for, and gives it none.
struct Probe<'a>(&'a mut &'static [&'static str]);

/// The probe's only answer.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is given")
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Refused> {
        *self.0 = fields;
        Err(Refused)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}
