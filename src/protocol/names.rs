//! The grammar of the names that come from outside: container IDs, network names, interface
//! names, plugin types. All of them end up in paths or in kernel requests, so nothing passes here
//! that could lead elsewhere.

use thiserror::Error;

/// The longest interface name in bytes: the kernel's IFNAMSIZ without the closing NUL.
pub const INTERFACE_NAME_MAX: usize = 15;

/// A name that breaks its grammar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Spec 1.1.0, section 2, "Parameters", CNI_CONTAINERID.
    #[error(
        "{given:?} is not a container ID: it must begin with a letter or digit, and go on with letters, digits, '_', '.' or '-'"
    )]
    ContainerId {
        /// The offending text.
        given: String,
    },
    /// Spec 1.1.0, section 1, `name`.
    #[error(
        "{given:?} is not a network name: it must begin with a letter or digit, and go on with letters, digits, '_', '.' or '-'"
    )]
    NetworkName {
        /// The offending text.
        given: String,
    },
    /// What the kernel (dev_valid_name in net/core/dev.c) lets a link be called.
    #[error(
        "{given:?} is not an interface name: it must be 1 to 15 bytes long, not \".\" or \"..\", and without '/', ':', whitespace or control characters"
    )]
    InterfaceName {
        /// The offending text.
        given: String,
    },
    /// Spec 1.1.0, section 1, `type`.
    #[error(
        "{given:?} is not a plugin type: it must be the name of a file, so not empty, not \".\" or \"..\", and without '/' or control characters"
    )]
    PluginType {
        /// The offending text.
        given: String,
    },
}

/// Whether `text` is an ASCII letter or digit, then any number of letters, digits, `_`, `.`, `-`.
fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Checks a container ID.
///
/// # Errors
/// [`NameError::ContainerId`].
pub fn container_id(text: &str) -> Result<(), NameError> {
    if is_identifier(text) {
        Ok(())
    } else {
        Err(NameError::ContainerId { given: text.to_owned() })
    }
}

/// Checks a network name.
///
/// # Errors
/// [`NameError::NetworkName`].
pub fn network_name(text: &str) -> Result<(), NameError> {
    if is_identifier(text) {
        Ok(())
    } else {
        Err(NameError::NetworkName { given: text.to_owned() })
    }
}

/// Checks the name of a network interface.
///
/// # Errors
/// [`NameError::InterfaceName`].
pub fn interface_name(text: &str) -> Result<(), NameError> {
    let fits = (1..=INTERFACE_NAME_MAX).contains(&text.len());
    let forbidden = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    if fits && text != "." && text != ".." && !text.contains(forbidden) {
        Ok(())
    } else {
        Err(NameError::InterfaceName { given: text.to_owned() })
    }
}

/// Checks a plugin type, which is the name of a file in one of the folders of CNI_PATH.
///
/// # Errors
/// [`NameError::PluginType`].
pub fn plugin_type(text: &str) -> Result<(), NameError> {
    let forbidden = |c: char| c == '/' || c.is_control();
    if !text.is_empty() && text != "." && text != ".." && !text.contains(forbidden) {
        Ok(())
    } else {
        Err(NameError::PluginType { given: text.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_and_network_names_share_a_grammar() {
        for good in ["a", "0", "A-b_c.9", "a..", "a-", &"f".repeat(64)] {
            container_id(good).unwrap();
            network_name(good).unwrap();
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "a\0", "ä", "aä", "../a", "a:b"]
        {
            assert_eq!(container_id(bad), Err(NameError::ContainerId { given: bad.to_owned() }));
            assert_eq!(network_name(bad), Err(NameError::NetworkName { given: bad.to_owned() }));
        }
    }

    #[test]
    fn interface_names() {
        for good in ["a", "eth0", "eth0.100", "123456789012345", "...", "vñ", "a@b"] {
            interface_name(good).unwrap();
        }
        for bad in [
            "",
            ".",
            "..",
            "1234567890123456",
            "eth/0",
            "eth:0",
            "eth 0",
            "eth\t0",
            "eth\u{a0}0",
            "eth\0",
            "eth\u{7f}",
            // 8 characters, 16 bytes.
            "éééééééé",
        ] {
            assert!(interface_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn plugin_types() {
        for good in ["bridge", "host-local", "my plugin", ".hidden", "a\\b"] {
            plugin_type(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "/bin/sh", "../x", "a\0b", "a\nb"] {
            assert!(plugin_type(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_message_quotes_the_text_and_says_the_rule() {
        let message = interface_name("eth\n0").unwrap_err().to_string();
        assert!(message.contains(r#""eth\n0""#), "{message}");
        assert!(message.contains("1 to 15 bytes"), "{message}");
    }
}
