//! Escapes names so that they are safe to show: on a terminal, in JSON, in a table that a spreadsheet opens.
//!
//! Names of cells, genes and clusters come from files, and a file may hold anything. (SVG has its own rule, in
//! `sclsd-plot/src/picture.rs`.)

use std::borrow::Cow;
use std::fmt::Write;

/// Characters that a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Text of one line: characters that control a terminal are written as escapes such as `\u{1b}`, line breaks as `\n`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    written_out(text, steers)
}

/// Text of several lines: as [`line`], but line breaks stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    written_out(text, |c| c != '\n' && steers(c))
}

/// JSON, whose texts may hold control characters that JSON need not escape but terminals act on.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// A name in a table: if it begins like a formula, an apostrophe is put before the name to mark text.
pub(crate) fn table_name(name: &str) -> Cow<'_, str> {
    if is_formula(name.trim_start_matches('\'')) { format!("'{name}").into() } else { name.into() }
}

/// The name from a field that [`table_name`] wrote.
pub(crate) fn from_table(field: &str) -> &str {
    match field.strip_prefix('\'') {
        Some(name) if is_formula(name.trim_start_matches('\'')) => name,
        _ => field,
    }
}

fn is_formula(text: &str) -> bool {
    text.starts_with(FORMULA)
}

/// Control characters, and those that change the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn written_out(text: &str, which: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&which) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_other_letters_stay() {
        assert_eq!(line("a\u{1b}[31mb\n\u{9b}é β"), "a\\u{1b}[31mb\\n\\u{9b}é β");
        assert_eq!(lines("a\n  b\u{7f}\u{202e}"), "a\n  b\\u{7f}\\u{202e}");
        assert_eq!(json("{\"a\u{7f}\u{9b}é\":1}"), "{\"a\\u007f\\u009bé\":1}");
        assert!(matches!(line("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_name_that_begins_as_a_formula_is_text_in_a_table_and_comes_back_as_it_was() {
        for (name, field) in [
            ("=1+1", "'=1+1"),
            ("-a", "'-a"),
            ("'=x", "''=x"),
            ("\tx", "'\tx"),
            ("'quoted", "'quoted"),
            ("Gene-1", "Gene-1"),
            ("", ""),
        ] {
            assert_eq!(table_name(name), field);
            assert_eq!(from_table(field), name);
        }
    }
}
