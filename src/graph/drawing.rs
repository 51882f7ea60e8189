//! A picture with places: what is left for a format to write down.

/// A picture with places, in pixels from the upper left corner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawing {
    /// How wide it is.
    pub width: i32,
    /// How high it is.
    pub height: i32,
    /// What it shows, in a line.
    pub title: String,
    /// What is drawn, in this order.
    pub shapes: Vec<Shape>,
}

/// One thing to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A box.
    Box {
        /// Where.
        at: Rect,
        /// What it stands for.
        look: Look,
        /// Whether something is wrong with what it stands for.
        wrong: bool,
        /// Its colour, if it has one.
        colour: Option<usize>,
        /// What it is called in full.
        whole: String,
    },
    /// A line through these points.
    Wire {
        /// The points.
        points: Vec<(i32, i32)>,
        /// Its colour, if it has one.
        colour: Option<usize>,
        /// Whether it is dashed.
        dashed: bool,
    },
    /// A dot.
    Dot {
        /// Its middle.
        at: (i32, i32),
        /// Its colour.
        colour: usize,
    },
    /// A line of text.
    Text {
        /// The left end of its baseline.
        at: (i32, i32),
        /// How it is lettered.
        face: Face,
        /// The text.
        text: String,
    },
}

/// A rectangle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The host.
    Host,
    /// A link of the host.
    Link,
    /// A list.
    List,
    /// What is beyond the host.
    Outside,
    /// A namespace.
    Namespace,
    /// What lies below a text, so that wires seem to pass behind it.
    Label,
    /// One of several sheets that stand for several namespaces.
    Sheet,
}

/// How text is lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The name of a thing.
    Name,
    /// What is said of it.
    Plain,
    /// What is wrong with it.
    Wrong,
    /// What is less important.
    Faint,
}

impl Face {
    /// Its size in pixels.
    pub const fn size(self) -> i32 {
        match self {
            Self::Name => 13,
            Self::Plain | Self::Wrong => 11,
            Self::Faint => 10,
        }
    }

    /// How far the next line is.
    pub(super) const fn height(self) -> i32 {
        match self {
            Self::Name => 17,
            Self::Plain | Self::Wrong => 15,
            Self::Faint => 14,
        }
    }
}
