//! Whose a lease is, and the text of lease files, which is the reference plugin's:
//! `<containerID>\r\n<ifname>`.

/// Whose a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder<'a> {
    /// CNI_CONTAINERID.
    pub container_id: &'a str,
    /// CNI_IFNAME.
    pub ifname: &'a str,
}

impl Holder<'_> {
    /// The text of a lease file of this holder.
    pub(super) fn text(self) -> String {
        format!("{}\r\n{}", self.container_id.trim(), self.ifname)
    }
}

/// What a lease file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim<'a> {
    /// The holder, fully.
    Holder(Holder<'a>),
    /// A container ID alone, as early reference plugins wrote it: every interface of that
    /// container holds the lease.
    Container(&'a str),
    /// Nothing: whoever made the file was killed before writing into it.
    Nobody,
    /// Something that nobody who writes leases would write.
    Garbage,
}

impl<'a> Claim<'a> {
    /// Reads the contents of a lease file. White space around them does not count.
    pub(super) fn parse(contents: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(contents) else { return Self::Garbage };
        let text = text.trim();
        if text.is_empty() {
            return Self::Nobody;
        }
        let claim = match text.split_once("\r\n") {
            Some((container_id, ifname)) => Self::Holder(Holder { container_id, ifname }),
            None => Self::Container(text),
        };
        if text.chars().filter(|c| c.is_control()).count() > claim.separators() {
            return Self::Garbage;
        }
        claim
    }

    fn separators(self) -> usize {
        if matches!(self, Self::Holder(_)) { 2 } else { 0 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back() {
        let holder = Holder { container_id: "0f3c", ifname: "eth0" };
        assert_eq!(holder.text(), "0f3c\r\neth0");
        assert_eq!(Claim::parse(holder.text().as_bytes()), Claim::Holder(holder));
        assert_eq!(Claim::parse(b"0f3c\r\neth0\n"), Claim::Holder(holder));
    }

    #[test]
    fn what_others_have_left() {
        assert_eq!(Claim::parse(b"0f3c"), Claim::Container("0f3c"));
        assert_eq!(Claim::parse(b"0f3c\r\n"), Claim::Container("0f3c"));
        for nobody in [&b""[..], b" ", b"\r\n", b"\n\n"] {
            assert_eq!(Claim::parse(nobody), Claim::Nobody, "{nobody:?}");
        }
        for garbage in [&b"\xff\xfe"[..], b"a\0b", b"a\nb", b"a\r\nb\r\nc", b"a\r\nb\x01"] {
            assert_eq!(Claim::parse(garbage), Claim::Garbage, "{garbage:?}");
        }
    }
}
