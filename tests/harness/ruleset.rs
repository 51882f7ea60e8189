//! The elements of nftables sets and maps.

use serde_json::Value;

use super::Host;

impl Host {
    /// Every element of every set and map of the ruleset: the set's name and the element's key.
    pub fn nft_elements(&self) -> Vec<(String, String)> {
        let ruleset = self.json("nft -j list ruleset");
        let mut found = Vec::new();
        for item in ruleset["nftables"].as_array().expect("a list") {
            let Some(set) = item.get("set").or_else(|| item.get("map")) else { continue };
            let word = |key: &str| set[key].as_str().expect("a word");
            let name = format!("{} {} {}", word("family"), word("table"), word("name"));
            for element in set["elem"].as_array().into_iter().flatten() {
                let key = if set.get("map").is_some() && element.is_array() {
                    &element[0]
                } else {
                    element
                };
                found.push((name.clone(), key_text(key)));
            }
        }
        found
    }
}

/// An element's key in nft's own words.
fn key_text(key: &Value) -> String {
    if let Some(inner) = key.get("elem") {
        return key_text(&inner["val"]);
    }
    if let Some(parts) = key.get("concat") {
        let parts: Vec<String> = parts.as_array().expect("a list").iter().map(key_text).collect();
        return parts.join(" . ");
    }
    if let Some(prefix) = key.get("prefix") {
        return format!("{}/{}", key_text(&prefix["addr"]), prefix["len"]);
    }
    key.as_str().map_or_else(|| key.to_string(), |text| text.to_owned())
}
