//! Country codes. They name partitions, keys and stacks, so only well-formed ones can be constructed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 3166-1 alpha-2 code in lower case, such as `es`.
///
/// Only the form is checked: two letters, `a` to `z`. The registry decides which countries exist.
///
/// ```
/// use storewatch_domain::CountryCode;
/// assert_eq!("pt".parse::<CountryCode>().unwrap().as_str(), "pt");
/// assert!("PT".parse::<CountryCode>().is_err());
/// assert!("../es".parse::<CountryCode>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode([u8; 2]);

/// The text is not two lower-case letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("country {0:?} is not an ISO 3166-1 alpha-2 code in lower case, such as \"es\"")]
pub struct InvalidCountry(pub String);

impl CountryCode {
    /// The two letters.
    #[expect(clippy::expect_used, reason = "both bytes are letters a to z")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII")
    }
}

impl FromStr for CountryCode {
    type Err = InvalidCountry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            &[a @ b'a'..=b'z', b @ b'a'..=b'z'] => Ok(Self([a, b])),
            _ => Err(InvalidCountry(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for CountryCode {
    type Error = InvalidCountry;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_two_lower_case_letters_and_round_trips() {
        let code: CountryCode = "es".parse().unwrap();
        assert_eq!((code.as_str(), code.to_string(), String::from(code)), ("es", "es".into(), "es".into()));
        assert_eq!(format!("{code:?}"), "\"es\"");
        for text in ["", "e", "esp", "ES", "e1", "é", " e", "../es"] {
            assert_eq!(text.parse::<CountryCode>(), Err(InvalidCountry(text.into())));
            assert!(CountryCode::try_from(text.to_owned()).is_err());
        }
    }
}
