//! A section of the page and the blocks it holds, numbered through the page.

use std::fmt::Write as _;

use serde::Serialize;

use super::examples::Example;
use super::origin::{Origin, origin_line};
use super::plot::Plot;
use super::table::Table;
use super::text::{Words, escape};

/// A part of the report under its own heading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What it holds, in reading order.
    pub blocks: Vec<Block>,
}

/// One thing in a section.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Running text.
    Paragraph(Words),
    /// A heading below the section's.
    Heading(String),
    /// A file as it is, white space kept, in a fixed-width face.
    Verbatim {
        /// What it is, for those who do not see it.
        name: String,
        /// The text.
        text: String,
    },
    /// A numbered table.
    Table {
        /// The table with its caption.
        table: Table,
        /// Where its numbers come from.
        origin: Origin,
    },
    /// A numbered picture, with its numbers to unfold.
    Figure {
        /// The picture.
        plot: Plot,
        /// What it shows and how to read it.
        caption: String,
        /// Where its numbers come from.
        origin: Origin,
    },
    /// Prompts with the answers they got.
    Examples {
        /// The examples, in reading order.
        examples: Vec<Example>,
        /// Where they come from.
        origin: Origin,
    },
}

/// How many figures, tables and examples came before.
#[derive(Default)]
pub(super) struct Numbering {
    figures: usize,
    tables: usize,
    examples: usize,
}

impl Section {
    /// Returns the section; `number` counts from 1.
    pub(super) fn html(&self, number: usize, numbering: &mut Numbering) -> String {
        let (id, title) = (section_id(number), escape(&self.title));
        let blocks: String = self.blocks.iter().map(|block| block.html(numbering)).collect();
        format!(
            r#"<section id="{id}" aria-labelledby="{id}-h"><h2 id="{id}-h">{title}</h2>
{blocks}</section>
"#
        )
    }
}

impl Block {
    fn html(&self, numbering: &mut Numbering) -> String {
        match self {
            Self::Paragraph(words) => paragraph(words),
            Self::Heading(title) => format!("<h3>{}</h3>\n", escape(title)),
            Self::Verbatim { name, text } => verbatim(name, text),
            Self::Table { table, origin } => {
                numbering.tables += 1;
                let number = numbering.tables;
                let html = table.html(&format!("table-{number}"), &format!("Table {number}"));
                format!("<div class=\"table\">{html}{}</div>\n", origin_line(origin.parts()))
            }
            Self::Figure { plot, caption, origin } => {
                numbering.figures += 1;
                figure(plot, caption, (origin, numbering.figures))
            }
            Self::Examples { examples, origin } => {
                let mut out = String::new();
                for example in examples {
                    numbering.examples += 1;
                    let _ = writeln!(out, "{}", example.html(&format!("example-{}", numbering.examples)));
                }
                let none = if examples.is_empty() { r#"<p class="none">no examples</p>"# } else { "" };
                format!("{out}{none}{}\n", origin_line(origin.parts()))
            }
        }
    }
}

fn figure(plot: &Plot, caption: &str, (origin, number): (&Origin, usize)) -> String {
    let id = format!("figure-{number}");
    let numbers = plot.numbers().html(&format!("{id}-numbers"), "");
    format!(
        r#"<figure id="{id}" aria-labelledby="{id}-caption"><figcaption id="{id}-caption"><b>Figure {number}</b> {}</figcaption><div class="scroll plot" role="region" tabindex="0" aria-labelledby="{id}-caption">{}</div>{}<details><summary>Numbers of figure {number}</summary>{numbers}</details></figure>
"#,
        escape(caption),
        plot.html(&id),
        origin_line(origin.parts()),
    )
}

/// Returns running text as a paragraph in its language; in text of the page itself, what stands between backticks is
/// an identifier.
pub(super) fn paragraph(words: &Words) -> String {
    match words.language {
        Some(_) => format!("<p{}>{}</p>\n", words.attributes(), escape(&words.text)),
        None => format!("<p>{}</p>\n", with_identifiers(&words.text)),
    }
}

/// A backtick without a partner stays a backtick.
fn with_identifiers(text: &str) -> String {
    let mut parts = text.split('`');
    let mut out = parts.next().map(escape).unwrap_or_default();
    while let Some(inner) = parts.next() {
        match parts.next() {
            Some(after) => {
                let _ = write!(out, "<code>{}</code>{}", escape(inner), escape(after));
            }
            None => {
                let _ = write!(out, "`{}", escape(inner));
            }
        }
    }
    out
}

/// `zxx` says that the text is in no human language.
fn verbatim(name: &str, text: &str) -> String {
    let (name, text) = (escape(name), escape(text));
    format!(
        "<pre class=\"verbatim\" lang=\"zxx\" dir=\"ltr\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">{text}</pre>\n"
    )
}

/// Returns the id that links lead to.
pub(super) fn section_id(number: usize) -> String {
    format!("section-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_mark_identifiers_and_nothing_escapes() {
        assert_eq!(with_identifiers("`a<b>` beat `c`; d"), "<code>a&lt;b&gt;</code> beat <code>c</code>; d");
        assert_eq!(with_identifiers("one ` alone"), "one ` alone");
        assert_eq!(with_identifiers("``"), "<code></code>");
    }

    #[test]
    fn a_file_stays_text() {
        let html = verbatim("Recipe", "a: \"</pre><script>\"\n");
        assert!(html.contains("a: &quot;&lt;/pre&gt;&lt;script&gt;&quot;\n</pre>"));
    }
}
