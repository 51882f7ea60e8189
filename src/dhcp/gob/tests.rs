#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

static POINT: Struct = Struct { name: "Point", fields: &[("X", Type::Int), ("Y", Type::Int)] };
static SHAPE: Struct = Struct {
    name: "Shape",
    fields: &[
        ("Name", Type::Text),
        ("Points", Type::List(&Type::Struct(&POINT))),
        ("Tags", Type::List(&Type::Text)),
        ("Raw", Type::Bytes),
        ("Count", Type::Uint),
    ],
};

fn point(x: i64, y: i64) -> Value {
    Value::Struct(vec![("X".into(), Value::Int(x)), ("Y".into(), Value::Int(y))])
}

fn back(bytes: &[u8]) -> Result<Option<Value>, Error> {
    Decoder::new(bytes).read()
}

/// The example of encoding/gob's documentation: `type Point struct { X, Y int }` with 22 and 33.
#[test]
fn the_documented_example_is_written_and_read() {
    let documented = [
        0x1f, 0xff, 0x81, 0x03, 0x01, 0x01, 0x05, b'P', b'o', b'i', b'n', b't', 0x01, 0xff, 0x82,
        0x00, 0x01, 0x02, 0x01, 0x01, b'X', 0x01, 0x04, 0x00, 0x01, 0x01, b'Y', 0x01, 0x04, 0x00,
        0x00, 0x00, 0x07, 0xff, 0x82, 0x01, 0x2c, 0x01, 0x42, 0x00,
    ];
    assert_eq!(back(&documented).unwrap(), Some(point(22, 33)));
    // In the run that it shows the type has number 65, as the second of the stream has here.
    let mut encoder = Encoder::default();
    encoder.encode(Type::List(&Type::Text), &Value::List(Vec::new()));
    assert_eq!(encoder.encode(Type::Struct(&POINT), &point(22, 33)), documented);
}

#[test]
fn values_come_back() {
    for x in [0, 1, -1, 63, 64, -64, -65, 127, 128, 1 << 40, i64::MAX, i64::MIN] {
        let shape = Value::Struct(vec![
            ("Name".into(), Value::Text("a".repeat(200))),
            ("Points".into(), Value::List(vec![point(x, 1), point(1, x)])),
            ("Tags".into(), Value::List(vec![Value::Text("".into()), Value::Text("b".into())])),
            ("Raw".into(), Value::Bytes(vec![0, 255])),
            ("Count".into(), Value::Uint(u64::MAX)),
        ]);
        let bytes = Encoder::default().encode(Type::Struct(&SHAPE), &shape);
        let found = back(&bytes).unwrap().unwrap();
        let points = found.list("Points");
        assert_eq!(points[0].number("X").unwrap_or(0), x);
        assert_eq!(points[1].number("Y").unwrap_or(0), x);
        assert_eq!(found.text("Name").len(), 200);
        assert_eq!(found.field("Tags"), shape.field("Tags"));
        assert_eq!(found.bytes("Raw"), [0, 255]);
        assert_eq!(found.field("Count"), Some(&Value::Uint(u64::MAX)));
    }
}

#[test]
fn a_type_is_described_once_in_a_stream() {
    let mut encoder = Encoder::default();
    let first = encoder.encode(Type::Struct(&POINT), &point(1, 2));
    let second = encoder.encode(Type::Struct(&POINT), &point(3, 4));
    assert!(second.len() < first.len() / 2);
    let stream = [first, second].concat();
    let mut decoder = Decoder::new(stream.as_slice());
    assert_eq!(decoder.read().unwrap(), Some(point(1, 2)));
    assert_eq!(decoder.read().unwrap(), Some(point(3, 4)));
    assert_eq!(decoder.read().unwrap(), None);
}

#[test]
fn values_that_are_no_structs_have_a_zero_before_them() {
    let bytes = Encoder::default().encode(Type::Text, &Value::Text("hi".into()));
    assert_eq!(bytes, [5, 0x0c, 0, 2, b'h', b'i']);
    assert_eq!(back(&bytes).unwrap(), Some(Value::Text("hi".into())));
}

/// Whatever comes over the socket, the decoder answers; it neither panics nor takes memory that the
/// message does not have.
#[test]
fn damaged_streams_are_refused() {
    let shape = Value::Struct(vec![
        ("Name".into(), Value::Text("abc".into())),
        ("Points".into(), Value::List(vec![point(1, 2)])),
    ]);
    let good = Encoder::default().encode(Type::Struct(&SHAPE), &shape);
    for cut in 1..good.len() {
        let mut decoder = Decoder::new(&good[..cut]);
        while let Ok(Some(_)) = decoder.read() {}
    }
    for place in 0..good.len() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xf8, 0xff] {
            let mut bad = good.clone();
            bad[place] = byte;
            let mut decoder = Decoder::new(bad.as_slice());
            while let Ok(Some(_)) = decoder.read() {}
        }
    }
    assert!(matches!(back(&[0xfc, 0xff, 0xff, 0xff, 0xff]), Err(Error::TooLong(_))));
    assert!(matches!(back(&[0x80]), Err(Error::Garbled(_))));
}

/// A type that holds itself cannot be followed for ever.
#[test]
fn a_type_within_itself_is_refused() {
    // Type 65, a list of 65; then a value of it: one item, that holds one item, and so on.
    let mut bytes = vec![0x0a, 0xff, 0x81, 2, 1, 2, 0xff, 0x82, 0, 1, 0xff];
    bytes.extend([0x82, 0, 0]);
    bytes[0] = (bytes.len() - 1) as u8;
    let mut value = vec![0xff, 0x82, 0];
    value.extend([1; 100]);
    bytes.push(value.len() as u8);
    bytes.extend(value);
    assert!(matches!(back(&bytes), Err(Error::Garbled(_))));
}
