//! Ids in events: numbers that are not exact as doubles are written as text.
//!
//! Step Functions reads a manifest's items as JSON in which every number is a double. An id above 2⁵³ would come
//! out as another store's. Smaller ones stay numbers, the form that every release reads.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use storewatch_domain::StoreKey;

/// From here on, not every whole number has a double of its own.
const EXACT: u64 = 1 << 53;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Plain(StoreKey),
    Text { long: String },
}

/// Writes an id, or null.
pub(crate) fn serialize<S: Serializer>(key: &Option<StoreKey>, serializer: S) -> Result<S::Ok, S::Error> {
    let form = key.clone().map(|key| match key {
        StoreKey::Long(id) if id.unsigned_abs() >= EXACT => Form::Text { long: id.to_string() },
        key => Form::Plain(key),
    });
    form.serialize(serializer)
}

/// Reads an id in either form, or null.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoreKey>, D::Error> {
    Ok(match Option::<Form>::deserialize(deserializer)? {
        None => None,
        Some(Form::Plain(key)) => Some(key),
        Some(Form::Text { long }) => {
            let id =
                long.parse().map_err(|_| de::Error::custom(format!("{long:?} is not a whole number")))?;
            Some(StoreKey::Long(id))
        }
    })
}
