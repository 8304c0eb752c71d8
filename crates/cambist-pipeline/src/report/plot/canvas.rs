//! A drawing in SVG: text as text, colours as CSS classes, shapes beside colours.

use std::fmt::Write as _;

use cambist_core::language::Language;
use unicode_width::UnicodeWidthChar;

use crate::report::number::MISSING;
use crate::report::text::{Words, escape};

/// A drawing under way. Units are CSS pixels; y grows downwards.
pub(crate) struct Canvas {
    body: String,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// A place on the drawing.
pub(crate) type At = (f64, f64);

/// Words with the side at which they hold on to their place.
pub(crate) struct Label<'a> {
    text: &'a str,
    language: Option<&'a Language>,
    class: &'a str,
    anchor: Anchor,
}

/// The side of the words that stands at their place, left and right as seen on the screen.
#[derive(Clone, Copy)]
enum Anchor {
    Left,
    Middle,
    Right,
}

/// Height of a line of text, with its air.
pub(crate) const LINE: f64 = 16.0;

/// Series beyond this number share colours, but not the pair of colour and shape.
const N_COLOURS: usize = 8;

const SHAPES: [&str; 7] = [
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z",
    "M-4-4H4V4H-4Z",
    "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "M0-5L5 4H-5Z",
    "M0 5L5-4H-5Z",
    "M-1.5-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5V-1.5H-1.5Z",
    "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
];

impl<'a> Label<'a> {
    /// Words that begin at their place.
    pub(crate) fn start(text: &'a str) -> Self {
        Self { text, language: None, class: "", anchor: Anchor::Left }
    }

    /// Words centred on their place.
    pub(crate) fn middle(text: &'a str) -> Self {
        Self { anchor: Anchor::Middle, ..Self::start(text) }
    }

    /// Words that end at their place.
    pub(crate) fn end(text: &'a str) -> Self {
        Self { anchor: Anchor::Right, ..Self::start(text) }
    }

    /// The same words with CSS classes.
    pub(crate) fn class(self, class: &'a str) -> Self {
        Self { class, ..self }
    }

    /// SVG counts start and end along the text, so that they change sides in right-to-left scripts.
    fn anchoring(&self) -> &'static str {
        match (self.anchor, self.language.is_some_and(Language::is_right_to_left)) {
            (Anchor::Left, false) => "",
            (Anchor::Left, true) => r#" direction="rtl" text-anchor="end""#,
            (Anchor::Middle, false) => r#" text-anchor="middle""#,
            (Anchor::Middle, true) => r#" direction="rtl" text-anchor="middle""#,
            (Anchor::Right, false) => r#" text-anchor="end""#,
            (Anchor::Right, true) => r#" direction="rtl""#,
        }
    }

    /// The same words in their language.
    pub(crate) fn of(self, words: &'a Words) -> Self {
        Self { language: words.language.as_ref(), ..self }
    }
}

impl Canvas {
    /// An empty drawing of this width; the height grows with what is drawn and is set by the plot.
    pub(crate) fn new(width: f64) -> Self {
        Self { body: String::new(), width, height: 0.0 }
    }

    /// Whether the drawing is for a narrow screen.
    pub(crate) fn is_narrow(&self) -> bool {
        self.width < 480.0
    }

    /// Writes words on the line whose middle is at `y`.
    pub(crate) fn text(&mut self, (x, y): At, label: &Label<'_>) {
        let language = label.language.map(|tag| format!(r#" lang="{tag}""#)).unwrap_or_default();
        let class = if label.class.is_empty() { String::new() } else { format!(r#" class="{}""#, label.class) };
        // 4 px below the middle is the base line of 12 px figures and capitals.
        let (x, y) = (px(x), px(y + 4.0));
        self.push(&format!(
            r#"<text x="{x}" y="{y}"{}{class}{language}>{}</text>"#,
            label.anchoring(),
            escape(label.text)
        ));
    }

    /// Draws a straight line.
    pub(crate) fn line(&mut self, class: &str, (x1, y1): At, (x2, y2): At) {
        let (x1, y1, x2, y2) = (px(x1), px(y1), px(x2), px(y2));
        self.push(&format!(r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#));
    }

    /// Draws a path through places that are already in SVG path notation.
    pub(crate) fn path(&mut self, class: &str, steps: &str) {
        self.push(&format!(r#"<path class="{class}" d="{steps}"/>"#));
    }

    /// Draws the mark of a series: its shape in its colour.
    pub(crate) fn mark(&mut self, series_idx: usize, (x, y): At) {
        let shape = SHAPES[series_idx % SHAPES.len()];
        let (colour, x, y) = (series_idx % N_COLOURS, px(x), px(y));
        self.push(&format!(r#"<path class="mark s{colour}" transform="translate({x} {y})" d="{shape}"/>"#));
    }

    /// Puts in markup that is already safe.
    pub(crate) fn push(&mut self, markup: &str) {
        self.body.push_str(markup);
        self.body.push('\n');
    }

    /// Draws the marks and names of the series in lines from `top`; returns where they end.
    pub(crate) fn legend(&mut self, series: &[String], top: f64) -> f64 {
        let (mut x, mut y) = (0.0, top + LINE / 2.0);
        for (idx, name) in series.iter().enumerate() {
            let name = shorten(name, self.width - 20.0);
            let wide = 14.0 + text_width(&name);
            if x > 0.0 && x + wide > self.width {
                (x, y) = (0.0, y + LINE + 2.0);
            }
            self.mark(idx, (x + 6.0, y));
            self.text((x + 15.0, y), &Label::start(&name));
            x += wide + 18.0;
        }
        y + LINE / 2.0 + 6.0
    }

    /// Ends the drawing: an image with a name and a description for those who cannot see it.
    pub(crate) fn finish(self, id: &str, title: &str, description: &str) -> String {
        let (width, height) = (px(self.width), px(self.height));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{id}-t {id}-d" width="{width}" height="{height}" viewBox="0 0 {width} {height}"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>
{}</svg>"#,
            escape(title),
            escape(description),
            self.body
        )
    }
}

/// Returns the colour class of a series.
pub(crate) fn colour(series_idx: usize) -> String {
    format!("s{}", series_idx % N_COLOURS)
}

/// Tells one row of a plot in words, for its description; what is missing is told too.
pub(crate) fn sentence<'a>(row: &str, values: impl Iterator<Item = (&'a String, Option<String>)>) -> String {
    let told = values.map(|(name, value)| format!("{name} {}", value.as_deref().unwrap_or(MISSING)));
    format!("{row}: {}.", told.collect::<Vec<_>>().join("; "))
}

/// Writes a length with at most one digit after the point.
pub(crate) fn px(length: f64) -> String {
    let written = format!("{length:.1}");
    let short = written.strip_suffix(".0").unwrap_or(&written);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Estimates how wide text of 12 px is, on the generous side: fonts differ, and nothing may be cut.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> f64 {
    match c.width().unwrap_or(1) {
        0 => 0.0,
        1 if matches!(c, 'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | '.' | ',' | '[' | ']' | '(' | ')') => 4.6,
        1 if matches!(c, 'm' | 'w' | 'M' | 'W') => 10.6,
        1 if c.is_uppercase() => 8.6,
        1 => 7.0,
        _ => 12.4,
    }
}

/// Cuts text that would be wider than `width`, and says so by an ellipsis; never between a letter and its marks.
pub(crate) fn shorten(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let (mut used, mut out) = (text_width("…"), String::new());
    for c in text.chars() {
        used += char_width(c);
        if used > width {
            break;
        }
        out.push(c);
    }
    let mut short = out.trim_end().to_owned();
    let _ = write!(short, "…");
    short
}

/// Returns how wide a gutter the labels need: the widest, at most `limit`, with 10 px of air.
pub(crate) fn gutter<'a>(labels: impl IntoIterator<Item = &'a str>, limit: f64) -> f64 {
    labels.into_iter().map(text_width).fold(0.0, f64::max).min(limit) + 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_and_never_negative_zero() {
        assert_eq!([px(1.0), px(1.25), px(-0.01), px(-2.5)], ["1", "1.2", "0", "-2.5"]);
    }

    #[test]
    fn long_labels_end_in_an_ellipsis_within_their_width() {
        assert_eq!(shorten("short", 100.0), "short");
        for text in ["a very long teacher name", "非常に長い教師モデルの名前", "हिन्दी हिन्दी हिन्दी"]
        {
            let short = shorten(text, 60.0);
            assert!(short.ends_with('…') && text_width(&short) <= 60.0, "{short}");
        }
    }

    #[test]
    fn names_are_escaped_wherever_they_stand() {
        let mut canvas = Canvas::new(300.0);
        canvas.legend(&["<b>".to_owned()], 0.0);
        let svg = canvas.finish("x", "<t>", "\u{202e}");
        assert!(svg.contains("&lt;b&gt;") && svg.contains("&lt;t&gt;") && svg.contains("U+202E"));
    }

    #[test]
    fn right_to_left_labels_stand_where_others_do() {
        let arabic = Words::new("نص…", &Language::parse("ar").unwrap());
        let mut canvas = Canvas::new(300.0);
        canvas.text((5.0, 10.0), &Label::start(&arabic.text).of(&arabic));
        let svg = canvas.finish("x", "t", "d");
        assert!(svg.contains(r#"x="5" y="14" direction="rtl" text-anchor="end" lang="ar""#), "{svg}");
    }

    #[test]
    fn legends_wrap() {
        let names: Vec<String> = (0..9).map(|n| format!("a teacher's name {n}")).collect();
        assert!(Canvas::new(328.0).legend(&names, 0.0) > 4.0 * LINE);
        assert_eq!(Canvas::new(328.0).legend(&[], 0.0), LINE + 6.0);
    }
}
