//! That the pages for people say what the program has: a section for every code, and files that links
//! lead to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use causeway::protocol::error::Code;

fn page(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_code_has_a_row_and_a_section() {
    let (errors, trouble) = (page("docs/ERRORS.md"), page("docs/TROUBLESHOOTING.md"));
    let mut last = 0;
    for code in Code::ALL {
        let number = code as u32;
        assert!(errors.contains(&format!("\n| {number} |")), "ERRORS.md has no row for {number}");
        let heading = format!("\n## {number}: ");
        let at = trouble.find(&heading);
        let at = at.unwrap_or_else(|| panic!("TROUBLESHOOTING.md has no section for {number}"));
        assert!(at > last, "{number} is out of order");
        last = at;
        // The same name in both.
        let name = trouble[at + heading.len()..].lines().next().unwrap();
        assert!(errors.contains(&format!("| {number} | {name} |")), "{number}: {name}");
    }
    let sections = trouble.lines().filter(|line| {
        line.strip_prefix("## ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    assert_eq!(sections.count(), Code::ALL.len(), "a section for no code");
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let path: PathBuf = page.parent().unwrap().join(file);
            if !path.exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
