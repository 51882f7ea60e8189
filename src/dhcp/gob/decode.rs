//! Reading a stream of gob.

use std::collections::HashMap;
use std::io::Read;

use super::{Error, LONGEST, Value, builtin};

/// How deep types may be nested; those of the two programs are five deep.
const DEEPEST: u32 = 16;

/// The longest name of a field in bytes; those of the two programs have less than 20.
const LONGEST_FIELD: usize = 64;

/// A type that the stream has described.
#[derive(Debug, Clone)]
enum Described {
    List { of: i64 },
    Struct { fields: Vec<(String, i64)> },
}

/// Reads messages and keeps the types that they describe.
pub struct Decoder<R> {
    from: R,
    types: HashMap<i64, Described>,
}

impl<R: Read> Decoder<R> {
    /// A decoder at the beginning of a stream.
    pub fn new(from: R) -> Self {
        Self { from, types: HashMap::new() }
    }

    /// The stream itself.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.from
    }

    /// The next value; `None` when the stream has ended after a whole message.
    ///
    /// # Errors
    /// [`Error`]; the stream cannot be read on after one.
    pub fn read(&mut self) -> Result<Option<Value>, Error> {
        while let Some(message) = self.message()? {
            let mut rest = Bytes(&message);
            let kind = rest.int()?;
            if kind < 0 {
                let id = kind.checked_neg().ok_or(Error::Garbled("a type's number"))?;
                let described = rest.description()?;
                self.types.insert(id, described);
                continue;
            }
            let is_struct = matches!(self.types.get(&kind), Some(Described::Struct { .. }));
            // Anything else stands where a struct would have the number of a field.
            if !is_struct && rest.uint()? != 0 {
                return Err(Error::Garbled("a value without the zero before it"));
            }
            return self.value(&mut rest, kind, 0).map(Some);
        }
        Ok(None)
    }

    fn message(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(length) = self.length()? else { return Ok(None) };
        let length = match usize::try_from(length) {
            Ok(fits) if fits <= LONGEST => fits,
            _ => return Err(Error::TooLong(length)),
        };
        let mut message = vec![0; length];
        self.from.read_exact(&mut message)?;
        Ok(Some(message))
    }

    fn length(&mut self) -> Result<Option<u64>, Error> {
        let mut first = [0];
        let read = loop {
            match self.from.read(&mut first) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if read == 0 {
            return Ok(None);
        }
        let [first] = first;
        let Some(count) = more_bytes(first)? else { return Ok(Some(u64::from(first))) };
        let mut number = [0; 8];
        let place = number.get_mut(8 - count..).ok_or(Error::Garbled("a number's length"))?;
        self.from.read_exact(place)?;
        Ok(Some(u64::from_be_bytes(number)))
    }

    fn value(&self, bytes: &mut Bytes<'_>, kind: i64, depth: u32) -> Result<Value, Error> {
        if depth > DEEPEST {
            return Err(Error::Garbled("types nested too deep"));
        }
        match kind {
            builtin::BOOL => Ok(Value::Bool(bytes.uint()? != 0)),
            builtin::INT => Ok(Value::Int(bytes.int()?)),
            // No field of the two programs holds a fraction; its bits are as good as it.
            builtin::UINT | builtin::FLOAT => Ok(Value::Uint(bytes.uint()?)),
            builtin::BYTES => Ok(Value::Bytes(bytes.chunk()?.to_vec())),
            builtin::TEXT => Ok(Value::Text(bytes.text()?)),
            _ => match self.types.get(&kind) {
                Some(Described::List { of }) => {
                    let count = bytes.count()?;
                    let items = (0..count).map(|_| self.value(bytes, *of, depth + 1));
                    items.collect::<Result<_, _>>().map(Value::List)
                }
                Some(Described::Struct { fields }) => self.fields(bytes, fields, depth),
                None => Err(Error::Unsupported("one that was not described")),
            },
        }
    }

    fn fields(
        &self,
        bytes: &mut Bytes<'_>,
        fields: &[(String, i64)],
        depth: u32,
    ) -> Result<Value, Error> {
        let mut found = Vec::new();
        let mut steps = Steps::default();
        while let Some(place) = steps.next(bytes)? {
            let (name, kind) = fields.get(place).ok_or(Error::Garbled("a field too many"))?;
            found.push((name.clone(), self.value(bytes, *kind, depth + 1)?));
        }
        Ok(Value::Struct(found))
    }
}

/// The fields of a struct as they come: each with its distance from the one before, up to a zero.
#[derive(Default)]
struct Steps {
    next: usize,
}

impl Steps {
    fn next(&mut self, bytes: &mut Bytes<'_>) -> Result<Option<usize>, Error> {
        let step = bytes.uint()?;
        if step == 0 {
            return Ok(None);
        }
        let step = usize::try_from(step).map_err(|_| Error::Garbled("a field's number"))?;
        self.next = self.next.checked_add(step).ok_or(Error::Garbled("a field's number"))?;
        Ok(Some(self.next - 1))
    }
}

/// How many bytes of a number follow a first byte; `None` when that is the number itself.
fn more_bytes(first: u8) -> Result<Option<usize>, Error> {
    if first < 0x80 {
        return Ok(None);
    }
    match usize::from(first.wrapping_neg()) {
        count if count <= 8 => Ok(Some(count)),
        _ => Err(Error::Garbled("a number longer than eight bytes")),
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

const SHORT: Error = Error::Garbled("a message that ends too soon");

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn uint(&mut self) -> Result<u64, Error> {
        let [first] = *self.take(1)? else { return Err(SHORT) };
        match more_bytes(first)? {
            None => Ok(u64::from(first)),
            Some(count) => {
                Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
        }
    }

    fn int(&mut self) -> Result<i64, Error> {
        let bits = self.uint()?;
        let half = (bits >> 1).cast_signed();
        Ok(if bits & 1 == 1 { !half } else { half })
    }

    /// A count of what follows, of which each takes a byte at least.
    fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.uint()?).map_err(|_| SHORT)?;
        if count > self.0.len() { Err(SHORT) } else { Ok(count) }
    }

    fn chunk(&mut self) -> Result<&'a [u8], Error> {
        let count = self.count()?;
        self.take(count)
    }

    fn text(&mut self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.chunk()?).into_owned())
    }

    /// A `wireType`: one of its fields is there and tells the kind (encoding/gob/type.go).
    fn description(&mut self) -> Result<Described, Error> {
        let mut described = None;
        let mut steps = Steps::default();
        while let Some(place) = steps.next(self)? {
            described = Some(match place {
                // Of an array, the length after the element's type.
                0 | 1 => Described::List { of: self.list_description()? },
                2 => Described::Struct { fields: self.struct_description()? },
                3 => return Err(Error::Unsupported("map")),
                _ => return Err(Error::Unsupported("one with an encoding of its own")),
            });
        }
        described.ok_or(Error::Garbled("a type without a kind"))
    }

    /// A `CommonType`: name and number.
    fn common(&mut self) -> Result<(), Error> {
        let mut steps = Steps::default();
        while let Some(place) = steps.next(self)? {
            match place {
                0 => drop(self.chunk()?),
                1 => drop(self.int()?),
                _ => return Err(Error::Garbled("a type's name and number")),
            }
        }
        Ok(())
    }

    fn list_description(&mut self) -> Result<i64, Error> {
        let mut of = 0;
        let mut steps = Steps::default();
        while let Some(place) = steps.next(self)? {
            match place {
                0 => self.common()?,
                1 => of = self.int()?,
                2 => drop(self.int()?),
                _ => return Err(Error::Garbled("the type of a list")),
            }
        }
        Ok(of)
    }

    fn struct_description(&mut self) -> Result<Vec<(String, i64)>, Error> {
        let mut fields = Vec::new();
        let mut steps = Steps::default();
        while let Some(place) = steps.next(self)? {
            match place {
                0 => self.common()?,
                1 => {
                    for _ in 0..self.count()? {
                        fields.push(self.field_description()?);
                    }
                }
                _ => return Err(Error::Garbled("the type of a struct")),
            }
        }
        Ok(fields)
    }

    fn field_description(&mut self) -> Result<(String, i64), Error> {
        let (mut name, mut kind) = (String::new(), 0);
        let mut steps = Steps::default();
        while let Some(place) = steps.next(self)? {
            match place {
                0 => name = self.text()?,
                1 => kind = self.int()?,
                _ => return Err(Error::Garbled("the type of a field")),
            }
        }
        // Each value of the field gets a copy of its name.
        if name.len() > LONGEST_FIELD {
            return Err(Error::Garbled("a field's name that is too long"));
        }
        Ok((name, kind))
    }
}
