//! Files of facts, and the pictures that must come of them. `UPDATE=1 cargo test --lib graph` writes the
//! pictures anew; look at them then.

use std::fs;
use std::path::Path;

use super::drawing::{Face, Look, Rect, Shape};
use super::facts::{Attachment, Facts, Far, Link, Namespace};
use super::lettering::width;
use super::{Detail, Drawing, Picture, dot, draw, mermaid, svg};
use crate::inventory::State;

fn read(name: &str) -> Facts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/graph").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn is_golden(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{} is no longer what is drawn; see UPDATE in src/graph/tests.rs",
        path.display()
    );
}

/// A node with `count` pods of seven Kubernetes namespaces on one bridge; one of them is down, one dead.
fn crowd(count: u32) -> Facts {
    let host_inode = 4_026_531_840;
    let bridge = Link {
        index: 2,
        name: "cni0".into(),
        kind: "bridge".into(),
        up: true,
        mtu: 1500,
        addresses: vec!["10.88.0.1/16".parse().unwrap()],
        ..Link::default()
    };
    let mut facts = Facts { node: "node-1".into(), ..Facts::default() };
    facts.host = Namespace { inode: host_inode, links: vec![bridge], ..Namespace::default() };
    for number in 0..count {
        let inode = 4_026_532_000 + u64::from(number);
        let end = 10 + number;
        let address = format!("10.88.{}.{}/16", number / 200, number % 200 + 2).parse().unwrap();
        let far = |netns, index| Some(Far { netns: Some(netns), index });
        facts.host.links.push(Link {
            index: end,
            name: format!("veth{end:08x}"),
            kind: "veth".into(),
            up: true,
            mtu: 1500,
            master: Some(2),
            far: far(inode, 2),
            ..Link::default()
        });
        let is_dead = number == 33;
        if !is_dead {
            facts.namespaces.push(Namespace {
                inode,
                path: Some(format!("/run/netns/cni-{number}").into()),
                links: vec![Link {
                    index: 2,
                    name: "eth0".into(),
                    kind: "veth".into(),
                    up: number != 44,
                    mtu: 1500,
                    far: far(host_inode, end),
                    addresses: vec![address],
                    ..Link::default()
                }],
                defaults: Vec::new(),
            });
        }
        facts.attachments.push(Attachment {
            network: "pods".into(),
            container_id: format!("{number:064x}"),
            ifname: "eth0".into(),
            pod: Some(format!("team-{}/web-{number}", number % 7)),
            addresses: vec![address],
            netns: (!is_dead).then_some(inode),
            host_link: (!is_dead).then(|| format!("veth{end:08x}")),
            state: if is_dead { State::NamespaceGone } else { State::Attached },
            ports: Vec::new(),
        });
    }
    facts
}

#[test]
fn a_node_is_drawn_as_before() {
    let facts = read("node.json");
    let picture = Picture::of(&facts, None, Detail::Fitting);
    is_golden("docs/graph.svg", &svg(&draw(&picture)));
    is_golden("testdata/graph/node.dot", &dot(&picture));
    is_golden("testdata/graph/node.mmd", &mermaid(&picture));
    let lan = Picture::of(&facts, Some("lan"), Detail::Fitting);
    is_golden("testdata/graph/lan.dot", &dot(&lan));
}

#[test]
fn two_hundred_pods_are_summed_up_but_for_those_in_trouble() {
    let facts = crowd(200);
    let picture = Picture::of(&facts, None, Detail::Fitting);
    is_golden("testdata/graph/crowd.dot", &dot(&picture));
    assert_eq!(picture.namespaces(), 200);
    let boxes: usize = picture.columns.iter().map(|column| column.members.len()).sum();
    assert_eq!(boxes, 7 + 2, "seven Kubernetes namespaces, one pod that is down, one dead");
    let each = Picture::of(&facts, None, Detail::Each);
    let boxes: usize = each.columns.iter().map(|column| column.members.len()).sum();
    assert_eq!(boxes, 200);
}

#[test]
fn nothing_is_drawn_over_anything() {
    let mut facts = vec![read("node.json"), Facts::default()];
    facts.extend([1, 2, 3, 4, 7, 24, 25, 80, 81, 200, 900].map(crowd));
    for facts in facts {
        for detail in [Detail::Fitting, Detail::Each] {
            is_tidy(&draw(&Picture::of(&facts, None, detail)));
        }
    }
}

/// Boxes are apart or one inside another, every text is in its box, and no text on another.
fn is_tidy(drawing: &Drawing) {
    let paper = Rect { x: 0, y: 0, width: drawing.width, height: drawing.height };
    let mut boxes = Vec::new();
    let mut texts = Vec::new();
    for shape in &drawing.shapes {
        match shape {
            Shape::Box { look: Look::Sheet, .. } | Shape::Wire { .. } | Shape::Dot { .. } => {}
            Shape::Box { at, .. } => boxes.push(*at),
            Shape::Text { at: (x, y), face, text } => {
                let size = face.size();
                let at = Rect { x: *x, y: y - size + 2, width: width(text, size), height: size };
                texts.push((at, *face, text.clone()));
            }
        }
    }
    for (place, one) in boxes.iter().enumerate() {
        assert!(is_in(one, &paper), "{one:?} is not on the paper");
        for other in &boxes[place + 1..] {
            let fine = apart(one, other) || is_in(one, other) || is_in(other, one);
            assert!(fine, "{one:?} and {other:?} lie over each other");
        }
    }
    for (place, (at, face, text)) in texts.iter().enumerate() {
        assert!(is_in(at, &paper), "{text:?} is not on the paper");
        for (other, _, said) in &texts[place + 1..] {
            assert!(apart(at, other), "{text:?} and {said:?} are on each other");
        }
        for one in &boxes {
            let is_name_of_wire = *face == Face::Faint && apart(at, one);
            assert!(is_name_of_wire || apart(at, one) || is_in(at, one), "{text:?} leaves {one:?}");
        }
    }
}

fn is_in(one: &Rect, other: &Rect) -> bool {
    one.x >= other.x
        && one.y >= other.y
        && one.x + one.width <= other.x + other.width
        && one.y + one.height <= other.y + other.height
}

fn apart(one: &Rect, other: &Rect) -> bool {
    one.x + one.width <= other.x
        || other.x + other.width <= one.x
        || one.y + one.height <= other.y
        || other.y + other.height <= one.y
}

#[test]
fn names_from_outside_stay_text() {
    let hostile = "<script>&\"'\\]};\n\u{1b}[2Jend#\u{202e}|--x";
    let mut facts = crowd(2);
    facts.node = hostile.into();
    facts.host.links[0].name = hostile.into();
    facts.attachments[0].pod = Some(hostile.into());
    facts.attachments[0].container_id = hostile.into();
    facts.namespaces[0].links[0].name = hostile.into();
    facts.attachments[0].ifname = hostile.into();
    let picture = Picture::of(&facts, None, Detail::Fitting);

    let drawn = svg(&draw(&picture));
    assert!(!drawn.contains("<script") && !drawn.contains('\u{1b}'), "{drawn}");
    assert!(drawn.contains("&lt;script&gt;&amp;&quot;"), "{drawn}");

    let graph = dot(&picture);
    assert!(!graph.contains('\u{1b}'), "{graph}");
    for line in graph.lines() {
        let bare = line.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(bare.matches('"').count() % 2, 0, "an open quote: {line}");
    }

    let chart = mermaid(&picture);
    assert!(!chart.contains("<script") && !chart.contains('\u{1b}'), "{chart}");
    for line in chart.lines() {
        assert_eq!(line.matches('"').count() % 2, 0, "an open quote: {line}");
        let inside = line.split('"').nth(1).unwrap_or_default().replace("<br/>", "");
        assert!(!inside.contains(['<', '>', '[', ']', '{', '}', '|', '\\']), "{line}");
    }
}
