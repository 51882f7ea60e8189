//! Keys that stand twice in one JSON object. Readers keep one of the two and do not say which; for
//! settings that are written somewhere, guessing is not good enough.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The first key that stands twice in an object which is itself the value of a key `object`, in any
/// case, anywhere in `json`; `None` also for what is no JSON.
pub fn repeated_key(json: &[u8], object: &str) -> Option<String> {
    // Nearly every configuration has no such object; then there is nothing to be parsed.
    let is_there =
        json.windows(object.len()).any(|part| part.eq_ignore_ascii_case(object.as_bytes()));
    if !is_there {
        return None;
    }
    let mut found = None;
    let walk = Walk { object, inside: false, found: &mut found };
    let _ = serde_json::Deserializer::from_slice(json).deserialize_any(walk);
    found
}

/// Walks through a JSON value.
struct Walk<'a> {
    object: &'a str,
    /// Whether the value is that of a key called `object`.
    inside: bool,
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.inside && seen.contains(&key) {
                *self.found = Some(key);
                // Ends the walk.
                return Err(A::Error::custom("found"));
            }
            let inside = key.eq_ignore_ascii_case(self.object);
            map.next_value_seed(Walk { object: self.object, inside, found: &mut *self.found })?;
            if self.inside {
                seen.push(key);
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut walk = |found: &mut Option<String>| {
            list.next_element_seed(Walk { object: self.object, inside: false, found })
        };
        while walk(&mut *self.found)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(json: &str) -> Option<String> {
        repeated_key(json.as_bytes(), "sysctl")
    }

    #[test]
    fn a_repeated_key_is_found_wherever_the_object_is() {
        let found = Some("net.a".to_owned());
        assert_eq!(repeated(r#"{"sysctl": {"net.a": "1", "net.b": "1", "net.a": "1"}}"#), found);
        assert_eq!(repeated(r#"{"x": [1, {"SysCtl": {"net.a": "1", "net\u002ea": "2"}}]}"#), found);
        assert_eq!(
            repeated(r#"{"args": {"cni": {"sysctl": {"net.a": null, "net.a": 7}}}}"#),
            found
        );
    }

    #[test]
    fn other_objects_may_repeat_theirs() {
        assert_eq!(repeated(r#"{"a": 1, "a": 2, "sysctl": {"net.a": "1", "net.A": "2"}}"#), None);
        assert_eq!(repeated(r#"{"sysctl": {"x": {"a": 1.5, "a": true}}}"#), None);
        assert_eq!(repeated(r#"{"sysctl": {"net.a": "1"}, "sysctl": {"net.a": "1"}}"#), None);
    }

    #[test]
    fn what_is_no_json_has_none() {
        assert_eq!(repeated(r#"{"sysctl": {"net.a": "1", "#), None);
        assert_eq!(repeated("sysctl"), None);
        assert_eq!(repeated(""), None);
    }
}
