//! Boxes with their text, before they have a place.

use super::drawing::{Face, Shape};
use super::lettering::{fitting, width};
use super::picture::{Column, Line, Member};

/// Between text and the box around it.
const PADDING: i32 = 9;
/// How far a line of text is moved for its dot.
const DOT: i32 = 12;
/// The most columns of text in a box.
pub(super) const MOST: usize = 44;

/// A box with its text, not yet anywhere.
pub(super) struct Block {
    lines: Vec<Lettered>,
    /// In pixels, with the room around the text.
    pub width: i32,
    /// In pixels.
    pub height: i32,
}

/// A line of text in a block.
struct Lettered {
    face: Face,
    text: String,
    colour: Option<usize>,
    /// How far it is moved to the right, for its dot or to stand below a text that has one.
    shift: i32,
}

impl Block {
    fn new() -> Self {
        Self { lines: Vec::new(), width: 0, height: 2 * PADDING - 3 }
    }

    fn line(&mut self, face: Face, text: &str, colour: Option<usize>, shift: i32) {
        let text = fitting(text, MOST);
        self.width = self.width.max(width(&text, face.size()) + shift + 2 * PADDING);
        self.height += face.height();
        self.lines.push(Lettered { face, text, colour, shift });
    }

    fn lines(&mut self, lines: &[Line]) {
        let mut above = 0;
        for line in lines {
            let face = if line.wrong { Face::Wrong } else { Face::Plain };
            // What is indented goes on with what the line above says.
            let goes_on = line.text.starts_with(' ');
            let shift = match line.colour {
                Some(_) => DOT,
                None if goes_on => above,
                None => 0,
            };
            above = shift;
            self.line(face, &line.text, line.colour, shift);
        }
    }

    /// What stands in the host.
    pub(super) fn of_column(column: &Column) -> Self {
        let mut block = Self::new();
        block.line(Face::Name, &column.title, None, 0);
        block.line(Face::Faint, &column.subtitle, None, 0);
        block.lines(&column.lines);
        block
    }

    /// What hangs on that.
    pub(super) fn of_member(member: &Member) -> Self {
        let mut block = Self::new();
        block.line(Face::Name, &member.title, None, 0);
        block.lines(&member.lines);
        // A wire's name stands above the box.
        let wire = width(&member.wire, Face::Faint.size()) + WIRE_AT + 6;
        block.width = block.width.max(wire).max(90);
        block
    }

    /// What is beyond the host.
    pub(super) fn of_outside(lines: &[String]) -> Self {
        let mut block = Self::new();
        for line in lines {
            block.line(Face::Plain, line, None, 0);
        }
        block
    }

    /// The shapes of its text in a box at this place.
    pub(super) fn put(&self, x: i32, y: i32, shapes: &mut Vec<Shape>) {
        let mut y = y + PADDING - 3;
        for Lettered { face, text, colour, shift } in &self.lines {
            let baseline = y + face.height() - 3;
            let left = x + PADDING;
            if let Some(colour) = colour {
                shapes.push(Shape::Dot { at: (left + 4, baseline - 4), colour: *colour });
            }
            let at = (left + shift, baseline);
            shapes.push(Shape::Text { at, face: *face, text: text.clone() });
            y += face.height();
        }
    }
}

/// How far from a box's left edge its wire comes in.
pub(super) const WIRE_AT: i32 = 14;
