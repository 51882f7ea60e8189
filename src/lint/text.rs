//! A configuration file with the places of everything in it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions};
use serde_json::Value;

/// A file.
#[derive(Debug)]
pub struct Document {
    /// Its path, as it was named.
    pub path: PathBuf,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// What it says; `None` if it is not JSON.
    pub tree: Option<Node>,
    /// The same as values.
    pub value: Value,
}

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What is in it.
    pub inner: Inner,
}

/// What a value holds.
#[derive(Debug)]
pub enum Inner {
    /// The members of an object, in order, those that stand twice as well.
    Object(Vec<Member>),
    /// The elements of a list.
    List(Vec<Node>),
    /// Nothing.
    Scalar,
}

/// One member of an object.
#[derive(Debug)]
pub struct Member {
    /// The key.
    pub key: String,
    /// The key's bytes in the text, with its quotes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Document {
    /// Reads a text; the error is where and why it is no JSON.
    pub fn read(path: &Path, bytes: &[u8]) -> (Self, Option<(Range<usize>, String)>) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut document = Self { path: path.to_owned(), text, tree: None, value: Value::Null };
        // What counts is what the plugins' own parser takes; the other one only tells places.
        match serde_json::from_slice(bytes) {
            Ok(value) => document.value = value,
            Err(error) => {
                let at = document.offset(error.line(), error.column());
                return (document, Some((at, error.to_string())));
            }
        }
        let parsed = jsonc_parser::parse_to_ast(
            &document.text,
            &CollectOptions::default(),
            &ParseOptions::default(),
        );
        document.tree = parsed.ok().and_then(|parsed| parsed.value).map(|value| Node::of(&value));
        (document, None)
    }

    /// The byte at a line and column as serde_json counts them: from 1, columns in bytes.
    fn offset(&self, line: usize, column: usize) -> Range<usize> {
        let start: usize =
            self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let mut at = (start + column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let len =
            self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        at..at + len
    }

    /// Line and column of a byte, both from 1, columns in characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    /// The place of a key's path, such as `plugins[0].ipam.ranges[0][0].subnet`, or of what is
    /// nearest to it; and whether it is the thing itself.
    pub fn find(&self, path: &str) -> (Range<usize>, bool) {
        let Some(tree) = &self.tree else { return (0..0, false) };
        let mut node = tree;
        let mut key = None;
        let mut exact = true;
        for step in steps(path) {
            match node.step(&step) {
                Some((inner, span)) => {
                    node = inner;
                    key = span;
                }
                None => {
                    exact = false;
                    break;
                }
            }
        }
        if exact && node.span.len() <= WHOLE {
            return (node.span.clone(), true);
        }
        // Of what is long, the key says enough.
        (key.unwrap_or_else(|| node.head()), exact)
    }

    /// The thing itself at a path.
    pub fn node(&self, path: &str) -> Option<&Node> {
        let mut node = self.tree.as_ref()?;
        for step in steps(path) {
            node = node.step(&step)?.0;
        }
        Some(node)
    }

    /// The value of a path.
    pub fn value(&self, path: &str) -> Option<&Value> {
        let mut value = &self.value;
        for step in steps(path) {
            value = match step {
                Step::Key(key) => crate::protocol::keys::member(value, &key)?,
                Step::Place(place) => value.get(place)?,
            };
        }
        Some(value)
    }
}

/// Longer values, in bytes, are not underlined as a whole.
const WHOLE: usize = 60;

enum Step {
    Key(String),
    Place(usize),
}

/// The steps of a path: `a.b[0]["c.d"]`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[\"") {
            let Some((key, after)) = after.split_once("\"]") else { break };
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some((place, after)) = after.split_once(']') else { break };
            let Ok(place) = place.parse() else { break };
            steps.push(Step::Place(place));
            rest = after;
        } else {
            let name = rest.trim_start_matches('.');
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at(end);
            if key.is_empty() {
                break;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
    }
    steps
}

impl Node {
    fn of(value: &ast::Value<'_>) -> Self {
        let range = value.range();
        let inner = match value {
            ast::Value::Object(object) => Inner::Object(
                object
                    .properties
                    .iter()
                    .map(|property| Member {
                        key: property.name.as_str().to_owned(),
                        key_span: {
                            let range = property.name.range();
                            range.start..range.end
                        },
                        value: Self::of(&property.value),
                    })
                    .collect(),
            ),
            ast::Value::Array(list) => Inner::List(list.elements.iter().map(Self::of).collect()),
            _ => Inner::Scalar,
        };
        Self { span: range.start..range.end, inner }
    }

    /// The members, if it is an object.
    pub fn members(&self) -> &[Member] {
        match &self.inner {
            Inner::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements, if it is a list.
    pub fn elements(&self) -> &[Self] {
        match &self.inner {
            Inner::List(elements) => elements,
            _ => &[],
        }
    }

    /// The member of a key, in any case; of several the one that counts, which is the last.
    pub fn member(&self, key: &str) -> Option<&Member> {
        let members = self.members().iter().rev();
        let exact = members.clone().find(|member| member.key == key);
        exact.or_else(|| members.clone().find(|member| member.key.eq_ignore_ascii_case(key)))
    }

    fn step(&self, step: &Step) -> Option<(&Self, Option<Range<usize>>)> {
        match step {
            Step::Key(key) => {
                self.member(key).map(|member| (&member.value, Some(member.key_span.clone())))
            }
            Step::Place(place) => self.elements().get(*place).map(|node| (node, None)),
        }
    }

    /// What of an object tells which one it is: its type or name, else its first key.
    fn head(&self) -> Range<usize> {
        let named = ["type", "name"].into_iter().find_map(|key| self.member(key));
        match named.or(self.members().first()) {
            Some(member) if member.value.span.len() <= WHOLE => {
                member.key_span.start..member.value.span.end
            }
            Some(member) => member.key_span.clone(),
            None => self.span.start..(self.span.start + 1).min(self.span.end),
        }
    }
}
