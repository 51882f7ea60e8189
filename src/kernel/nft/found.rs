//! What is there: elements, rules and chains as the kernel lists them.

use super::attribute;
use super::expr;
use super::set::Key;
use super::table::{Chain, Rule};
use super::userdata;
use crate::kernel::attr::{Reader, Writer, find, find_str, find_u32, find_u64};

/// An element that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundElement {
    /// Its key.
    pub key: Key,
    /// What it leads to, in a map of values.
    pub value: Option<Key>,
    /// Whose it is.
    pub comment: Option<String>,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRule {
    /// The chain it is in.
    pub chain: String,
    /// What the kernel calls it; needed to delete it.
    pub handle: u64,
    /// Its comment.
    pub comment: Option<String>,
    expressions: Vec<u8>,
}

/// An element of any set or map, whoever made it, with what makes spans of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSpan {
    /// The key.
    pub key: Vec<u8>,
    /// It is not in the set: it ends the span that began before it.
    pub ends: bool,
    /// Whether it reaches to another key in each part of a concatenated one.
    pub key_end: bool,
    /// In a map of verdicts, the verdict's number (`NFT_*`, `NF_*`) and the chain it leads to.
    pub verdict: Option<(i32, Option<String>)>,
}

/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;

impl FoundSpan {
    /// The elements in one message's attributes.
    pub(crate) fn read_list(attributes: &[u8]) -> impl Iterator<Item = Self> {
        let list = find(attributes, attribute::LIST_ELEMENTS).unwrap_or_default();
        Reader::new(list).map(|element| {
            let attributes = element.value;
            let data = |kind: u16| find(find(attributes, kind)?, attribute::DATA_VALUE);
            let flags = find_u32(attributes, attribute::ELEMENT_FLAGS).unwrap_or_default();
            let verdict = find(attributes, attribute::ELEMENT_DATA)
                .and_then(|data| find(data, attribute::DATA_VERDICT));
            Self {
                key: data(attribute::ELEMENT_KEY).unwrap_or_default().to_vec(),
                ends: flags & INTERVAL_END != 0,
                key_end: find(attributes, attribute::ELEMENT_KEY_END).is_some(),
                verdict: verdict.and_then(|verdict| {
                    let chain = find_str(verdict, 2).map(str::to_owned);
                    Some((find_u32(verdict, 1)?.cast_signed(), chain))
                }),
            }
        })
    }
}

impl FoundElement {
    /// Reads one element's attributes.
    pub(crate) fn read(attributes: &[u8]) -> Self {
        let data = |kind: u16| find(find(attributes, kind)?, attribute::DATA_VALUE);
        let userdata = find(attributes, attribute::ELEMENT_USERDATA);
        Self {
            key: Key::raw(data(attribute::ELEMENT_KEY).unwrap_or_default()),
            value: data(attribute::ELEMENT_DATA).map(Key::raw),
            comment: userdata.and_then(userdata::read_comment),
        }
    }

    /// The elements in one message's attributes.
    pub(crate) fn read_list(attributes: &[u8]) -> impl Iterator<Item = Self> {
        let list = find(attributes, attribute::LIST_ELEMENTS).unwrap_or_default();
        Reader::new(list).map(|element| Self::read(element.value))
    }
}

impl FoundRule {
    /// Reads one message's attributes.
    pub(crate) fn read(attributes: &[u8]) -> Self {
        let text = |kind| find_str(attributes, kind).unwrap_or_default().to_owned();
        let userdata = find(attributes, attribute::RULE_USERDATA);
        let expressions = find(attributes, attribute::RULE_EXPRESSIONS);
        Self {
            chain: text(attribute::RULE_CHAIN),
            handle: find_u64(attributes, attribute::RULE_HANDLE).unwrap_or_default(),
            comment: userdata.and_then(userdata::read_comment),
            expressions: expressions.unwrap_or_default().to_vec(),
        }
    }

    /// Whether it does exactly what `rule` does; comments are not compared.
    pub fn does(&self, rule: &Rule) -> bool {
        let mut writer = Writer::default();
        rule.write_exprs(&mut writer);
        expr::same(&self.expressions, writer.as_bytes())
    }

    /// Its list of expressions, as the kernel has it (`NFTA_RULE_EXPRESSIONS`).
    pub fn expressions(&self) -> &[u8] {
        &self.expressions
    }

    /// What it is made of, for rules that others have made.
    pub fn parts(&self) -> impl Iterator<Item = super::parts::Part<'_>> {
        super::parts::read(&self.expressions)
    }

    /// The chain that it jumps or goes to.
    pub fn jump_target(&self) -> Option<&str> {
        expr::jump_target(&self.expressions)
    }
}

/// `NF_DROP`.
const DROP: u32 = 0;

/// A chain that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundChain {
    /// Its name.
    pub name: String,
    /// Type, hook number and priority of a base chain.
    pub hook: Option<(String, u32, i32)>,
    /// Whether a base chain drops what no rule decides.
    pub drops: bool,
}

impl FoundChain {
    /// Reads one message's attributes.
    pub(crate) fn read(attributes: &[u8]) -> Self {
        let hook = || {
            let hook = find(attributes, attribute::CHAIN_HOOK)?;
            Some((
                find_str(attributes, attribute::CHAIN_TYPE)?.to_owned(),
                find_u32(hook, attribute::HOOK_NUMBER)?,
                find_u32(hook, attribute::HOOK_PRIORITY)?.cast_signed(),
            ))
        };
        let name = find_str(attributes, attribute::CHAIN_NAME);
        let drops = find_u32(attributes, attribute::CHAIN_POLICY) == Some(DROP);
        Self { name: name.unwrap_or_default().to_owned(), hook: hook(), drops }
    }

    /// Whether it is hooked as `chain` is to be.
    pub(super) fn hooked_as(&self, chain: &Chain) -> bool {
        match (&self.hook, &chain.hook) {
            (None, None) => true,
            (Some((kind, point, priority)), Some(hook)) => {
                *kind == hook.kind && *point == hook.point && *priority == hook.priority
            }
            _ => false,
        }
    }
}
