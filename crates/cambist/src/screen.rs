//! The two streams: data on stdout, talk on stderr.

use std::io::Write;

use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;

/// Writes a line of data to stdout.
///
/// # Errors
/// When the reader has gone away, which ends the program quietly, or the disk behind stdout refuses.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Writes a line of talk to stderr.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Lays rows out in columns by what the terminal shows, wide characters counted twice. A column is right-aligned when
/// its header begins with a space.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let titles: Vec<String> = header.iter().map(|title| title.trim_start().to_owned()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().chain([&titles]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(header).map(|((cell, width), title)| {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            if title.starts_with(' ') { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(&titles).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn wide_letters_keep_the_columns_straight() {
        let rows = vec![vec!["日本語".to_owned(), "7".to_owned()], vec!["de".to_owned(), "12".to_owned()]];
        assert_eq!(columns(&["language", " n"], &rows), ["language   n", "日本語     7", "de        12"]);
    }
}
