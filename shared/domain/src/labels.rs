//! Whose store it is: the optional columns of the `stores` query. They take no part in the judgement.

use serde::{Deserialize, Serialize};

use crate::country::CountryCode;

/// Where a store belongs, and who answers for it. `None` where the source has nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// As ISO 3166-2 writes it, `ES-MD`.
    pub region: Option<String>,
    /// The chain that it belongs to.
    pub chain: Option<String>,
    /// What kind of store it is.
    pub segment: Option<String>,
    /// The team or account manager who is told.
    pub owner: Option<String>,
}

impl Labels {
    /// The names of the columns, in the order of the tables' columns.
    pub const NAMES: [&'static str; 4] = ["region", "chain", "segment", "owner"];

    /// The most characters of a value.
    pub const LONGEST: usize = 200;

    /// No labels at all, as of an orphan.
    pub const NONE: Self = Self { region: None, chain: None, segment: None, owner: None };

    /// The values as they are, in the order of [`Labels::NAMES`].
    pub fn from_values([region, chain, segment, owner]: [Option<String>; 4]) -> Self {
        Self { region, chain, segment, owner }
    }

    /// The values, in the order of [`Labels::NAMES`].
    pub fn values(&self) -> [Option<&str>; 4] {
        [&self.region, &self.chain, &self.segment, &self.owner].map(Option::as_deref)
    }

    /// Reads the values of a store of this country. An empty text means nothing. A value that cannot be one
    /// is left out; the error in the answer says what is wrong with the first of them.
    ///
    /// ```
    /// use storewatch_domain::Labels;
    /// let es = "es".parse()?;
    /// let (labels, problem) = Labels::read([Some("ES-MD"), Some("Grupo Sol"), Some(""), None], es);
    /// assert_eq!(labels.values(), [Some("ES-MD"), Some("Grupo Sol"), None, None]);
    /// assert_eq!(problem, Ok(()));
    /// let (labels, problem) = Labels::read([Some("Madrid"), Some("Grupo Sol"), None, None], es);
    /// assert_eq!(labels.values(), [None, Some("Grupo Sol"), None, None]);
    /// assert!(problem.unwrap_err().starts_with("region is \"Madrid\""));
    /// # Ok::<(), storewatch_domain::InvalidCountry>(())
    /// ```
    pub fn read(texts: [Option<&str>; 4], country: CountryCode) -> (Self, Result<(), String>) {
        let (mut values, mut problem) = ([const { None }; 4], Ok(()));
        for (n, text) in texts.into_iter().enumerate() {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            let name = Self::NAMES[n];
            match if name == "region" { region(text, country) } else { short(text) } {
                Ok(()) => values[n] = Some(text.to_owned()),
                Err(why) if problem.is_ok() => {
                    let shown: String = text.chars().take(40).collect();
                    problem = Err(format!("{name} is {shown:?}, {why}"));
                }
                Err(_) => {}
            }
        }
        (Self::from_values(values), problem)
    }
}

/// Checks the form of ISO 3166-2: the country's code, a hyphen, and one to three letters or digits. Which
/// codes a country has is not checked: they change, and the stores must not wait for a new release.
fn region(text: &str, country: CountryCode) -> Result<(), String> {
    let prefix = country.as_str().to_ascii_uppercase();
    let own = text.strip_prefix(&prefix).and_then(|rest| rest.strip_prefix('-'));
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if own.is_some_and(|own| matches!(own.len(), 1..=3) && own.bytes().all(is_letter)) {
        return Ok(());
    }
    Err(format!(
        "which is not an ISO 3166-2 code of {country}: \"{prefix}-\" and 1 to 3 capital letters or digits"
    ))
}

fn short(text: &str) -> Result<(), String> {
    match text.chars().count() {
        0..=Labels::LONGEST => Ok(()),
        length => {
            Err(format!("which is cut off here: its {length} characters are more than {}", Labels::LONGEST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: [Option<&str>; 4], country: &str) -> (Labels, Result<(), String>) {
        Labels::read(texts, country.parse().unwrap())
    }

    #[test]
    fn a_region_is_an_iso_3166_2_code_of_the_country() {
        for (country, good) in
            [("es", "ES-M"), ("es", "ES-MD"), ("mx", "MX-CMX"), ("pt", "PT-20"), ("es", "")]
        {
            assert_eq!(read([Some(good), None, None, None], country).1, Ok(()), "{good}");
        }
        let bad =
            ["MX-CMX", "es-md", "ES-md", "ES", "ES-", "ES-MADR", "ESMD", "ES MD", " ES-MD", "ES-MÑ", "ES--M"];
        for bad in bad {
            let (labels, problem) = read([Some(bad), None, None, None], "es");
            assert_eq!(labels, Labels::NONE);
            let wanted = format!(
                "region is {bad:?}, which is not an ISO 3166-2 code of es: \"ES-\" and 1 to 3 capital letters or digits"
            );
            assert_eq!(problem, Err(wanted));
        }
    }

    #[test]
    fn other_labels_have_at_most_200_characters() {
        let (most, more) = ("ñ".repeat(200), "ñ".repeat(10_000));
        let (labels, problem) = read([None, Some(&most), Some(&more), Some(&more)], "es");
        assert_eq!(labels.values(), [None, Some(most.as_str()), None, None]);
        let shown = "ñ".repeat(40);
        let wanted =
            format!("segment is \"{shown}\", which is cut off here: its 10000 characters are more than 200");
        assert_eq!(problem, Err(wanted), "the first problem is told, and no long text is repeated");
    }
}
