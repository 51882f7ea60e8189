//! Name resolution out of a file in the form of resolv.conf(5).

use std::fs;
use std::io;
use std::path::Path;

use crate::protocol::result::Dns;

/// Reads a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<Dns> {
    Ok(parse(&String::from_utf8_lossy(&fs::read(path)?)))
}

/// What the text says. As the reference plugins have it, several `search` lines add up, which in
/// resolv.conf(5) the last one wins; lines that say nothing known are passed over.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(key), Some(first)) = (words.next(), words.next()) else { continue };
        let all = std::iter::once(first).chain(words).map(str::to_owned);
        match key {
            "nameserver" => dns.nameservers.push(first.to_owned()),
            "domain" => first.clone_into(&mut dns.domain),
            "search" => dns.search.extend(all),
            "options" => dns.options.extend(all),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let dns = parse(
            "# comment\n; comment\n\n  nameserver   192.0.2.1  # not a second word\r\n\
             nameserver 2001:db8::1\nnameserver\ndomain old.example\ndomain example\n\
             search a.example\tb.example\n\tsearch c.example\noptions ndots:5\noptions edns0 trust-ad\n\
             sortlist 192.0.2.0\nNameserver 192.0.2.9\nsearch",
        );
        assert_eq!(dns.nameservers, ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(dns.domain, "example");
        assert_eq!(dns.search, ["a.example", "b.example", "c.example"]);
        assert_eq!(dns.options, ["ndots:5", "edns0", "trust-ad"]);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_file_that_is_not_there() {
        let error = read(Path::new("/nonexistent/resolv.conf")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
