//! A hardware address that configuration, runtime or person asks for.

use super::Error;
use crate::kernel::mac::Mac;

/// The hardware address of the first of `places` that gives one: a place is the name of a key or
/// variable, for errors, and what it holds. The empty text is none.
///
/// # Errors
/// [`Error::Config`] when it is no unicast address of six bytes.
pub(super) fn first<'a>(
    places: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<Option<Mac>, Error> {
    let given = places
        .into_iter()
        .find_map(|(place, text)| Some((place, text.filter(|text| !text.is_empty())?)));
    let Some((place, text)) = given else { return Ok(None) };
    Mac::parse(text).filter(|mac| mac.is_unicast()).map(Some).ok_or_else(|| {
        Error::config(
            place,
            format!("\"{text}\" is not a unicast hardware address such as 0a:58:0a:01:00:05"),
        )
    })
}
