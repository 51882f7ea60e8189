//! What is to be seen: the host's links side by side, with what hangs on each of them.

use super::draft::Draft;
use super::facts::Facts;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Few pods one by one with all there is to say, more of them in short, many summed up.
    Fitting,
    /// Every pod by itself, however many.
    Each,
}

/// What is to be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The node.
    pub title: String,
    /// All of it in a line.
    pub summary: String,
    /// What stands in the host, side by side.
    pub columns: Vec<Column>,
    /// What of it belongs together: places of columns, and how.
    pub ties: Vec<Tie>,
}

/// What stands in the host, and what hangs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub title: String,
    /// What it is.
    pub subtitle: String,
    /// What there is to say.
    pub lines: Vec<Line>,
    /// Which colour its wires have; none without members.
    pub colour: Option<usize>,
    /// What is beyond it: next hops of default routes.
    pub outside: Vec<String>,
    /// Whether something is wrong with it.
    pub wrong: bool,
    /// Whether it is no link, but a list of things.
    pub list: bool,
    /// The namespaces on it, or groups of them.
    pub members: Vec<Member>,
}

/// A namespace, or several in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub title: String,
    /// All of its names.
    pub whole: String,
    /// The name of the link between it and the column.
    pub wire: String,
    /// What there is to say.
    pub lines: Vec<Line>,
    /// Whether something is wrong with it.
    pub wrong: bool,
    /// How many namespaces it stands for.
    pub count: usize,
}

/// A line in a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// The colour of the column that it is about.
    pub colour: Option<usize>,
    /// Whether it says that something is wrong.
    pub wrong: bool,
}

impl Line {
    /// A line that is about nothing else.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A line that says what is wrong.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None, wrong: true }
    }
}

/// Two columns that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// The place of one.
    pub from: usize,
    /// The place of the other, on which the first one is or whose port it is.
    pub to: usize,
    /// Whether `from` is a port of `to`; else it was made on it.
    pub is_port: bool,
}

/// On what of the host an interface hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Hub {
    /// A bridge, or a master.
    Link(u32),
    /// The host's own routes: a pair without a bridge.
    Routed,
    /// Nothing.
    Apart,
}

impl Picture {
    /// Decides what is to be seen of `facts`, or of one network of it.
    pub fn of(facts: &Facts, network: Option<&str>, detail: Detail) -> Self {
        Draft::new(facts, network).finish(detail)
    }

    /// How many namespaces there are besides the host.
    pub fn namespaces(&self) -> usize {
        self.columns.iter().flat_map(|column| &column.members).map(|one| one.count).sum()
    }
}
