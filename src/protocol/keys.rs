//! Typed keys out of JSON, by the rules that Go's encoding/json gives the reference plugins, so
//! that a configuration that works there works here: keys match in any case, and null is absent.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};

use super::error::Error;

mod repeated;

pub use repeated::repeated_key;

/// Reads a plugin's own keys out of its section of the configuration.
///
/// At every level the keys of a JSON object match the fields of the Rust struct in any case, and
/// a key whose value is null counts as absent. In a list null stays, and is refused by types that
/// have none. `keys` adds names to those of `T` itself; only a `T` with `#[serde(flatten)]`,
/// whose names serde does not tell, needs it.
///
/// # Errors
/// [`Error::Key`] with the path of the offending key.
pub fn section<T: DeserializeOwned>(value: &Value, keys: &[&str]) -> Result<T, Error> {
    section_at("", value, keys)
}

/// As [`section`], for a `value` that itself stands at `path` in the configuration, so that
/// errors name the whole path: `ipam` gives `ipam.ranges[0][0].subnet`.
///
/// # Errors
/// As [`section`].
pub fn section_at<T: DeserializeOwned>(
    path: &str,
    value: &Value,
    keys: &[&str],
) -> Result<T, Error> {
    // Keeping track of the path costs an allocation for every key, so that is left to the second
    // reading of what the first has refused.
    if let Ok(keys) = T::deserialize(Node { value, keys }) {
        return Ok(keys);
    }
    serde_path_to_error::deserialize(Node { value, keys }).map_err(|error| {
        let inner = error.path().to_string();
        let path = match (path, inner.as_str()) {
            (path, "." | "") => path.to_owned(),
            ("", inner) => inner.to_owned(),
            // A list directly at `path` gives an inner path that begins with its index.
            (path, inner) if inner.starts_with('[') => format!("{path}{inner}"),
            (path, inner) => format!("{path}.{inner}"),
        };
        Error::Key { path, reason: error.into_inner().to_string() }
    })
}

/// The member of a JSON object called `key` in any case; none if it is null or not there, or if
/// `value` is no object.
pub fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let map = value.as_object()?;
    let exact = map.get(key).filter(|member| !member.is_null());
    exact.or_else(|| {
        map.iter()
            .find(|(name, member)| name.eq_ignore_ascii_case(key) && !member.is_null())
            .map(|(_, member)| member)
    })
}

/// For `#[serde(default, deserialize_with = "filled")]`: a string; null and the empty string are
/// absent, as in Go.
///
/// # Errors
/// The deserializer's.
pub fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// A JSON value that deserializes by Go's rules.
struct Node<'de> {
    value: &'de Value,
    keys: &'de [&'de str],
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Members::new(map, &[], self.keys)),
            Value::Array(list) => visitor.visit_seq(Elements(list.iter())),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Members::new(map, fields, self.keys)),
            // Derived structs would take a list for their fields in order; Go does not.
            other => Err(Self::Error::invalid_type(seen(other), &"an object")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

fn seen(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(flag) => Unexpected::Bool(*flag),
        Value::Number(_) => Unexpected::Other("number"),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// The members of an object that are not null, under the names that the reader knows them by.
struct Members<'de> {
    map: &'de Map<String, Value>,
    rest: serde_json::map::Iter<'de>,
    fields: &'static [&'static str],
    keys: &'de [&'de str],
    next: Option<&'de Value>,
}

impl<'de> Members<'de> {
    fn new(
        map: &'de Map<String, Value>,
        fields: &'static [&'static str],
        keys: &'de [&'de str],
    ) -> Self {
        Self { map, rest: map.iter(), fields, keys, next: None }
    }

    /// The reader's name for `key`; none if the exact name stands beside it and so wins.
    fn known_name(&self, key: &'de str) -> Option<&'de str> {
        let mut known = self.fields.iter().chain(self.keys).copied();
        if known.clone().any(|name| name == key) {
            return Some(key);
        }
        let Some(name) = known.find(|name| name.eq_ignore_ascii_case(key)) else {
            return Some(key);
        };
        let shadowed = self.map.get(name).is_some_and(|value| !value.is_null());
        (!shadowed).then_some(name)
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        while let Some((key, value)) = self.rest.next() {
            if value.is_null() {
                continue;
            }
            if let Some(name) = self.known_name(key) {
                self.next = Some(value);
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        let value = self.next.take().unwrap_or(&Value::Null);
        seed.deserialize(Node { value, keys: &[] })
    }
}

struct Elements<'de>(std::slice::Iter<'de, Value>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        self.0.next().map(|value| seed.deserialize(Node { value, keys: &[] })).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
