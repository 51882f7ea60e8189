//! Where everything goes: the host at the top with its links side by side, and below each link a grid of
//! what hangs on it, so that no wire crosses another one's boxes.

use super::block::{Block, MOST, WIRE_AT};
use super::drawing::{Drawing, Face, Look, Rect, Shape};
use super::lettering::{fitting, width};
use super::picture::{Column, Member, Picture};

/// Around everything, and inside the host.
const MARGIN: i32 = 16;
/// Between boxes side by side.
const GAP: i32 = 14;
/// Between columns.
const COLUMN_GAP: i32 = 26;
/// Between what is beyond and the host.
const BEYOND: i32 = 26;
/// What the host's name needs.
const HEADING: i32 = 34;
/// Between two ties that run side by side.
const LANE: i32 = 9;
/// From one row of boxes to the bus of the next.
const TO_BUS: i32 = 13;
/// From a bus down to the boxes; with the names of wires, and without.
const DROP: i32 = 26;
const SHORT_DROP: i32 = 12;
/// Room for the trunk that connects several rows.
const GUTTER: i32 = 14;
/// How far the sheets of a group are apart.
const SHEET: i32 = 4;

/// A column with the sizes of all its parts.
struct Placed<'p> {
    column: &'p Column,
    block: Block,
    outside: Option<Block>,
    members: Vec<Block>,
    /// Of one box of the grid.
    cell: i32,
    /// Boxes in a row.
    across: usize,
    gutter: i32,
    drop: i32,
    width: i32,
}

impl<'p> Placed<'p> {
    fn new(column: &'p Column, aspect: i32) -> Self {
        let block = Block::of_column(column);
        let outside = (!column.outside.is_empty()).then(|| Block::of_outside(&column.outside));
        let members: Vec<Block> = column.members.iter().map(Block::of_member).collect();
        let cell = members.iter().map(|one| one.width).max().unwrap_or(0);
        let high = members.iter().map(|one| one.height).max().unwrap_or(0);
        let has_names = column.members.iter().any(|one| !one.wire.is_empty());
        let drop = if has_names { DROP } else { SHORT_DROP };
        let across = across(members.len(), cell + GAP, high + drop + TO_BUS, aspect);
        let is_one_row = members.len() <= across;
        let gutter = if is_one_row || column.colour.is_none() { 0 } else { GUTTER };
        let count = i32::try_from(across.min(members.len())).unwrap_or(0);
        let grid = gutter + count * (cell + GAP) - if count > 0 { GAP } else { 0 };
        let beyond = outside.as_ref().map_or(0, |one| one.width);
        let width = grid.max(block.width).max(beyond);
        Self { column, block, outside, members, cell, across, gutter, drop, width }
    }
}

/// How many boxes stand in a row, so that the grid is `aspect` hundredths as wide as high.
fn across(count: usize, wide: i32, high: i32, aspect: i32) -> usize {
    let badness = |across: &usize| {
        let rows = i64::try_from(count.div_ceil(*across)).unwrap_or(i64::MAX);
        let across = i64::try_from(*across).unwrap_or(i64::MAX);
        let (w, h) = (across * i64::from(wide) * 100, rows * i64::from(high) * i64::from(aspect));
        w.abs_diff(h)
    };
    let least = count.clamp(1, 3);
    (least..=count.max(1)).min_by_key(badness).unwrap_or(1)
}

/// Gives everything its place.
pub fn draw(picture: &Picture) -> Drawing {
    let crowded = picture.columns.iter().filter(|column| column.members.len() > 3).count();
    let aspect = match crowded {
        0 | 1 => 200,
        2 | 3 => 130,
        _ => 80,
    };
    let columns: Vec<Placed<'_>> =
        picture.columns.iter().map(|column| Placed::new(column, aspect)).collect();
    let mut shapes = Vec::new();

    let beyond = columns.iter().filter_map(|one| one.outside.as_ref()).map(|one| one.height).max();
    let host_y = MARGIN + beyond.map_or(0, |height| height + BEYOND);
    let lanes = i32::try_from(picture.ties.len()).unwrap_or(0) * LANE;
    let top = host_y + HEADING + lanes + if lanes > 0 { LANE } else { 0 };
    let tallest = columns.iter().map(|one| one.block.height).max().unwrap_or(0);
    let host_end = top + tallest + MARGIN;
    let heading = heading(picture).1;

    // The places of columns, and the host around them.
    let mut x = 2 * MARGIN;
    let mut lefts = Vec::new();
    for column in &columns {
        lefts.push(x);
        x += column.width + COLUMN_GAP;
    }
    let inner = if columns.is_empty() { 0 } else { x - COLUMN_GAP - 2 * MARGIN };
    let host = Rect {
        x: MARGIN,
        y: host_y,
        width: inner.max(heading) + 2 * MARGIN,
        height: host_end - host_y,
    };
    shapes.push(Shape::Box {
        at: host,
        look: Look::Host,
        wrong: false,
        colour: None,
        whole: format!("host {}", picture.title),
    });
    let middles: Vec<i32> = lefts
        .iter()
        .zip(&columns)
        .map(|(left, column)| {
            // The wire goes down the middle of a single row, and of the box above.
            left + column.block.width.min(column.width) / 2
        })
        .collect();
    ties(picture, &middles, host_y + HEADING, top, &mut shapes);
    let mut bottom = host_end;
    for ((placed, left), middle) in columns.iter().zip(&lefts).zip(&middles) {
        if let Some(outside) = &placed.outside {
            put_outside(outside, *left, *middle, beyond.unwrap_or(0), top, &mut shapes);
        }
        let at = Rect { x: *left, y: top, width: placed.block.width, height: placed.block.height };
        let end = put_members(placed, *left, (*middle, top + at.height), host_end, &mut shapes);
        bottom = bottom.max(end);
        shapes.push(Shape::Box {
            at,
            look: if placed.column.list { Look::List } else { Look::Link },
            wrong: placed.column.wrong,
            colour: placed.column.colour,
            whole: placed.column.title.clone(),
        });
        placed.block.put(at.x, at.y, &mut shapes);
    }
    put_heading(picture, &host, &mut shapes);
    Drawing {
        width: host.x + host.width + MARGIN,
        height: bottom + MARGIN,
        title: format!("{}: {}", picture.title, picture.summary),
        shapes,
    }
}

/// The host's name as far as there is room, and how wide that and what is said of it are.
fn heading(picture: &Picture) -> (String, i32) {
    let title = fitting(&picture.title, MOST);
    let (title_width, summary) =
        (width(&title, Face::Name.size()), width(&picture.summary, Face::Plain.size()));
    (title, title_width + GAP + summary)
}

fn put_heading(picture: &Picture, host: &Rect, shapes: &mut Vec<Shape>) {
    let (title, all) = heading(picture);
    let (left, baseline) = (host.x + MARGIN, host.y + 22);
    let at = Rect { x: left - 4, y: baseline - 13, width: all + 8, height: 18 };
    let (look, whole) = (Look::Label, String::new());
    shapes.push(Shape::Box { at, look, wrong: false, colour: None, whole });
    let summary = (left + width(&title, Face::Name.size()) + GAP, baseline);
    shapes.push(Shape::Text { at: (left, baseline), face: Face::Name, text: title });
    let text = picture.summary.clone();
    shapes.push(Shape::Text { at: summary, face: Face::Plain, text });
}

/// What is beyond the host, and the way there.
fn put_outside(
    block: &Block,
    left: i32,
    middle: i32,
    tallest: i32,
    top: i32,
    shapes: &mut Vec<Shape>,
) {
    let y = MARGIN + tallest - block.height;
    let points = vec![(middle, y + block.height), (middle, top)];
    shapes.push(Shape::Wire { points, colour: None, dashed: false });
    let at = Rect { x: left, y, width: block.width, height: block.height };
    let whole = String::new();
    shapes.push(Shape::Box { at, look: Look::Outside, wrong: false, colour: None, whole });
    block.put(left, y, shapes);
}

/// Links of the host that belong together, above them.
fn ties(picture: &Picture, middles: &[i32], first: i32, top: i32, shapes: &mut Vec<Shape>) {
    for (lane, tie) in (0..).zip(&picture.ties) {
        let (Some(from), Some(to)) = (middles.get(tie.from), middles.get(tie.to)) else { continue };
        let y = first + lane * LANE + 2;
        // The middle is for the way out.
        let aside = 10 + 5 * (lane % 4);
        let towards = if from < to { aside } else { -aside };
        let (from, to) = (from + towards, to - towards);
        let colour = if tie.is_port {
            picture.columns.get(tie.to).and_then(|column| column.colour)
        } else {
            None
        };
        let points = vec![(from, top), (from, y), (to, y), (to, top)];
        shapes.push(Shape::Wire { points, colour, dashed: !tie.is_port });
    }
}

/// The grid below a column, with its wires from `from`; gives where it ends.
fn put_members(
    placed: &Placed<'_>,
    left: i32,
    from: (i32, i32),
    host_end: i32,
    shapes: &mut Vec<Shape>,
) -> i32 {
    let colour = placed.column.colour;
    let is_wired = colour.is_some();
    let trunk = left + GUTTER / 3;
    let mut bus = host_end + TO_BUS;
    let mut wires = Vec::new();
    let mut boxes = Vec::new();
    let members: Vec<(&Member, &Block)> =
        placed.column.members.iter().zip(&placed.members).collect();
    let mut end = host_end;
    let mut last_bus = bus;
    for (row, line) in members.chunks(placed.across.max(1)).enumerate() {
        let y = bus + placed.drop;
        let tallest = line.iter().map(|(_, block)| block.height).max().unwrap_or(0);
        let mut last_drop = from.0;
        let mut x = left + placed.gutter;
        for (member, block) in line {
            let drop = x + WIRE_AT;
            last_drop = drop;
            if is_wired {
                let sheets = if member.count > 1 { 2 * SHEET } else { 0 };
                wires.push(vec![(drop, bus), (drop, y - sheets)]);
            }
            let at = Rect { x, y, width: placed.cell, height: tallest };
            put_member(member, block, at, colour, &mut boxes);
            x += placed.cell + GAP;
        }
        if is_wired {
            let start = if placed.gutter > 0 { trunk } else { from.0.min(left + WIRE_AT) };
            let stop = if row == 0 { last_drop.max(from.0) } else { last_drop };
            wires.push(vec![(start, bus), (stop, bus)]);
        }
        last_bus = bus;
        end = y + tallest;
        bus = end + TO_BUS;
    }
    if is_wired && !members.is_empty() {
        let first_bus = host_end + TO_BUS;
        wires.push(vec![from, (from.0, first_bus)]);
        if placed.gutter > 0 {
            wires.push(vec![(trunk, first_bus), (trunk, last_bus)]);
        }
    }
    let wires = wires.into_iter().map(|points| Shape::Wire { points, colour, dashed: false });
    shapes.extend(wires);
    shapes.extend(boxes);
    end
}

fn put_member(
    member: &Member,
    block: &Block,
    at: Rect,
    colour: Option<usize>,
    shapes: &mut Vec<Shape>,
) {
    if member.count > 1 {
        for back in [2, 1] {
            let at = Rect { x: at.x + back * SHEET, y: at.y - back * SHEET, ..at };
            let (look, whole) = (Look::Sheet, String::new());
            shapes.push(Shape::Box { at, look, wrong: false, colour, whole });
        }
    }
    let (look, wrong, whole) = (Look::Namespace, member.wrong, member.whole.clone());
    shapes.push(Shape::Box { at, look, wrong, colour, whole });
    if !member.wire.is_empty() {
        let at = (at.x + WIRE_AT + 5, at.y - 6);
        let text = fitting(&member.wire, MOST);
        shapes.push(Shape::Text { at, face: Face::Faint, text });
    }
    block.put(at.x, at.y, shapes);
}
