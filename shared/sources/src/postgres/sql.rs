//! The part of PostgreSQL's lexical rules (its documentation, section "Lexical Structure") that is needed to
//! embed a country's query into another one: where it ends, and where `$1` and `$2` are parameters.

/// A piece of a query.
enum Token {
    /// White space or a comment.
    Space,
    Semicolon,
    /// `$1`, `$2` and so on.
    Parameter,
    /// Anything else, including quoted text.
    Other,
}

/// Removes the semicolon at the end of the query, and replaces `$1`, `$2`, … by `parameters`. Keeps line
/// numbers.
pub(super) fn single(sql: &str, parameters: &[String]) -> Result<String, String> {
    let (mut out, mut used) = (String::with_capacity(sql.len() + 40), vec![false; parameters.len()]);
    let (mut ended, mut empty) = (false, true);
    let mut rest = sql;
    while !rest.is_empty() {
        let (token, length) = first(rest)?;
        let (text, tail) = rest.split_at(length);
        rest = tail;
        match token {
            Token::Space => out.push_str(text),
            Token::Semicolon => ended = true,
            _ if ended => {
                return Err("there is more than one statement; only one query is allowed".to_owned());
            }
            Token::Parameter => {
                let number = text[1..].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                let Some((number, value)) = number.and_then(|n| Some((n, parameters.get(n)?))) else {
                    return Err(format!("the query uses {text}; {}", allowed(parameters.len())));
                };
                used[number] = true;
                out.push_str(value);
            }
            Token::Other => {
                empty = false;
                out.push_str(text);
            }
        }
    }
    match used.iter().all(|used| *used) {
        _ if empty => Err("the query is empty".to_owned()),
        true => Ok(out),
        false => {
            Err("the query must use both $1 and $2, the first and the last date that are wanted".to_owned())
        }
    }
}

fn allowed(parameters: usize) -> &'static str {
    match parameters {
        0 => "it takes no parameters",
        _ => "its parameters are $1 and $2, the first and the last date that are wanted",
    }
}

/// The first token, and its length in bytes.
fn first(sql: &str) -> Result<(Token, usize), String> {
    let Some(c) = sql.chars().next() else { return Ok((Token::Space, 0)) };
    Ok(match c {
        ';' => (Token::Semicolon, 1),
        _ if c.is_whitespace() => (Token::Space, c.len_utf8()),
        '-' if sql.starts_with("--") => (Token::Space, sql.find('\n').unwrap_or(sql.len())),
        '/' if sql.starts_with("/*") => (Token::Space, comment(sql)?),
        '\'' | '"' => (Token::Other, quoted(sql, 0, false)?),
        'e' | 'E' if sql[1..].starts_with('\'') => (Token::Other, quoted(sql, 1, true)?),
        '$' if sql[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (Token::Parameter, 1 + sql[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(sql.len() - 1))
        }
        '$' => (Token::Other, dollar_quoted(sql)?),
        // A word can contain dollar signs: `a$1` has no parameter.
        _ if is_word(c) => (Token::Other, sql.find(|c: char| !is_word(c)).unwrap_or(sql.len())),
        _ => (Token::Other, c.len_utf8()),
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The length of a comment, which can contain nested comments.
fn comment(sql: &str) -> Result<usize, String> {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(found) = sql[at..].find("/*").into_iter().chain(sql[at..].find("*/")).min() {
        at += found + 2;
        if sql[..at].ends_with("/*") {
            depth += 1
        } else {
            depth -= 1
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err("a comment does not end with */".to_owned())
}

/// The end of the text quoted by the character at `start`. Doubled, this character stands for itself.
fn quoted(sql: &str, start: usize, escapes: bool) -> Result<usize, String> {
    let bytes = sql.as_bytes();
    let (quote, mut at) = (bytes[start], start + 1);
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'\\' if escapes => 2,
            _ if byte != quote => 1,
            _ if bytes.get(at + 1) == Some(&quote) => 2,
            _ => return Ok(at + 1),
        };
    }
    Err(format!("a quote does not end with {}", char::from(quote)))
}

/// The length of `$tag$…$tag$`, or 1 for a dollar sign that starts no quote.
fn dollar_quoted(sql: &str) -> Result<usize, String> {
    let tag = sql[1..].find(|c: char| !is_word(c) || c == '$').map(|length| length + 2);
    let Some(tag) = tag.map(|end| &sql[..end.min(sql.len())]).filter(|tag| tag.ends_with('$')) else {
        return Ok(1);
    };
    let end = sql[tag.len()..].find(tag).ok_or_else(|| format!("a quote does not end with {tag}"))?;
    Ok(tag.len() + end + tag.len())
}

#[cfg(test)]
mod tests {
    use super::single;

    fn dates() -> Vec<String> {
        vec!["date '2024-10-04'".to_owned(), "date '2024-10-13'".to_owned()]
    }

    #[test]
    fn only_parameters_are_replaced_by_dates() {
        let kept = "'$1' \"$2\" e'\\'$1' $$ $1 $$ $a$ $1 $$ $2 $a$ /* $1 /* $2 */ $1 */ a$1 é$2 -- $1\n";
        let found = single(&format!("{kept}$1 and $2::date"), &dates()).unwrap();
        assert_eq!(found, format!("{kept}date '2024-10-04' and date '2024-10-13'::date"));
    }

    #[test]
    fn a_query_may_end_with_a_semicolon_and_comments() {
        for end in ["", ";", "; ;", "; -- all", "-- all; of it", "/* ; */;/* x */", ";\n-- a\n-- b"] {
            let found = single(&format!("select ';'{end}"), &[]).unwrap();
            assert!(found.starts_with("select ';'"), "{found}");
            assert_eq!(found.lines().count(), format!("select ';'{end}").lines().count());
        }
    }

    #[test]
    fn anything_but_a_single_query_is_refused() {
        let cases = [
            ("select 1; delete from stores", "more than one statement"),
            ("select 1) q; commit; select (1", "more than one statement"),
            ("select 'a", "does not end with '"),
            ("select \"a", "does not end with \""),
            ("select $x$ a $y$", "does not end with $x$"),
            ("select 1 /* /* */", "does not end with */"),
            (" -- nothing\n;", "is empty"),
            ("select $1", "takes no parameters"),
        ];
        for (sql, said) in cases {
            let error = single(sql, &[]).unwrap_err();
            assert!(error.contains(said), "{sql}: {error}");
        }
        let error = single("select $1, '$2'", &dates()).unwrap_err();
        assert!(error.contains("must use both $1 and $2"), "{error}");
        assert!(single("select $1, $2, $3", &dates()).unwrap_err().contains("uses $3"));
        assert!(single("select $", &[]).is_ok() && single("select $é", &[]).is_ok());
    }
}
