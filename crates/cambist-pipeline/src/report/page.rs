//! The page: headings in order, landmarks, a table of contents, a summary, and where it all comes from.

use serde::Serialize;

use super::number::{Direction, Estimate, MISSING, Style, count};
use super::origin::{Origin, origin_line};
use super::section::{Numbering, Section, paragraph, section_id};
use super::table::Cell;
use super::text::{Words, escape};

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The title, also that of the browser's tab.
    pub title: String,
    /// What was asked or compared, in one line.
    pub subtitle: String,
    /// What came out, in a few sentences.
    pub summary: Vec<Words>,
    /// The numbers to remember, at most four.
    pub findings: Vec<Finding>,
    /// The sections, in reading order.
    pub sections: Vec<Section>,
    /// What was run and with what: recipe, versions, artifacts.
    pub provenance: Vec<Fact>,
}

/// One number to remember.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What it is, in a few words.
    pub label: String,
    /// The number with its interval; none or not finite is shown as `n/a`.
    pub estimate: Option<Estimate>,
    /// How it is written.
    pub style: Style,
    /// Its unit, `points` or `%`; empty for none.
    pub unit: String,
    /// Which way it should go.
    pub direction: Direction,
    /// What stands beside the number, such as the relative gain beside the absolute one; empty for nothing.
    pub beside: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// One line of provenance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// What is told.
    pub name: String,
    /// What it is.
    pub value: Cell,
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// The browser itself is told to fetch nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const THEMES: [(&str, &str); 3] = [("auto", "Auto"), ("light", "Light"), ("dark", "Dark")];

impl Page {
    /// Returns the whole document. The same page gives the same bytes.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut numbering = Numbering::default();
        let sections = self.sections.iter().enumerate();
        let sections: String = sections.map(|(idx, section)| section.html(idx + 1, &mut numbering)).collect();
        format!(
            r##"<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header class="masthead"><div><h1>{title}</h1><p class="subtitle">{}</p></div>{}</header>
{}
<main id="main" tabindex="-1">
{}{sections}{}</main>
<script>
{SCRIPT}</script>
</body>
</html>
"##,
            escape(&self.subtitle),
            theme_choice(),
            self.contents(),
            self.summary(),
            self.provenance(),
        )
    }

    fn contents(&self) -> String {
        let entry = |id: &str, title: &str| format!(r##"<li><a href="#{id}">{}</a></li>"##, escape(title));
        let sections = self.sections.iter().enumerate();
        let sections: String = sections.map(|(idx, s)| entry(&section_id(idx + 1), &s.title)).collect();
        let (first, last) = (entry("summary", "Summary"), entry("provenance", "Provenance"));
        format!(r#"<nav aria-label="Contents"><ol>{first}{sections}{last}</ol></nav>"#)
    }

    /// Findings of one origin say it once, below them all.
    fn summary(&self) -> String {
        let words: String = self.summary.iter().map(paragraph).collect();
        let first = self.findings.first().map(|finding| &finding.origin);
        let shared = first.filter(|origin| self.findings.iter().all(|finding| finding.origin == **origin));
        let findings: String = self.findings.iter().map(|finding| finding.html(shared.is_none())).collect();
        let origin = shared.map(|origin| origin_line(origin.parts())).unwrap_or_default();
        let findings = if findings.is_empty() { findings } else { format!(r#"<dl class="findings">{findings}</dl>"#) };
        format!(
            r#"<section id="summary" aria-labelledby="summary-h"><h2 id="summary-h">Summary</h2>{words}{findings}{origin}</section>
"#
        )
    }

    fn provenance(&self) -> String {
        let facts = self.provenance.iter().map(|fact| {
            let value = fact.value.content(Style::plain(2));
            format!("<div><dt>{}</dt><dd>{value}</dd></div>", escape(&fact.name))
        });
        format!(
            r#"<section id="provenance" aria-labelledby="provenance-h"><h2 id="provenance-h">Provenance</h2><dl class="facts">{}</dl></section>
"#,
            facts.collect::<String>()
        )
    }
}

impl Finding {
    fn html(&self, has_own_origin: bool) -> String {
        let (value, detail) = match self.estimate.and_then(Estimate::finite) {
            Some(estimate) => (self.style.write(estimate.value), self.detail(estimate)),
            None => (MISSING.to_owned(), String::new()),
        };
        let origin = self.origin.parts().filter(|_| has_own_origin);
        let parts = [detail, escape(&self.beside), self.direction.words().to_owned()].into_iter().chain(origin);
        let (label, unit) = (escape(&self.label), escape(&self.unit));
        format!(
            r#"<div><dt>{label}</dt><dd><span class="value">{value} <span class="unit">{unit}</span></span>{}</dd></div>"#,
            origin_line(parts)
        )
    }

    fn detail(&self, estimate: Estimate) -> String {
        let interval = estimate.interval.map(|ends| self.style.write_interval(ends) + ", ").unwrap_or_default();
        format!("{interval}n\u{202f}=\u{202f}{}", count(estimate.n))
    }
}

/// The theme is chosen by radio buttons and CSS alone; the script only remembers it.
fn theme_choice() -> String {
    let choices = THEMES.map(|(value, name)| {
        let checked = if value == "auto" { " checked" } else { "" };
        format!(r#"<label><input type="radio" name="theme" id="theme-{value}" value="{value}"{checked}><span>{name}</span></label>"#)
    });
    format!(r#"<fieldset class="theme"><legend>Theme</legend>{}</fieldset>"#, choices.concat())
}

#[cfg(test)]
mod tests {
    use super::super::section::Block;
    use super::super::table::{Column, Table};
    use super::*;

    fn page() -> Page {
        let origin = Origin { n: "3 prompts".to_owned(), seeds: vec![7], ..Origin::default() };
        let table = Table { caption: "Failures".to_owned(), columns: vec![Column::words("Fault")], rows: vec![] };
        let blocks = vec![Block::Table { table, origin: origin.clone() }, Block::Paragraph("a < b".into())];
        let finding = Finding {
            label: "Gain".to_owned(),
            estimate: Some(Estimate { value: 4.25, interval: Some([1.0, 7.0]), n: 1000 }),
            style: Style::signed(1),
            unit: "points".to_owned(),
            direction: Direction::HigherIsBetter,
            beside: "+9.1 % relative".to_owned(),
            origin,
        };
        Page {
            title: "</title><script>".to_owned(),
            subtitle: String::new(),
            summary: vec!["It works.".into()],
            findings: vec![finding],
            sections: vec![Section { title: "Results & more".to_owned(), blocks }],
            provenance: vec![Fact { name: "Recipe".to_owned(), value: Cell::Id("r-1".to_owned()) }],
        }
    }

    #[test]
    fn nothing_is_fetched_and_titles_stay_text() {
        let html = page().html();
        assert!(html.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"));
        assert!(html.contains("default-src 'none'"));
        for outside in ["src=", "@import", "url(http", "//cdn", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn style_and_script_do_not_end_their_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
    }

    #[test]
    fn every_number_brings_its_origin() {
        let html = page().html();
        assert!(html.contains("<span>[+1.0, +7.0], n\u{202f}=\u{202f}1000</span> <span>+9.1 % relative</span>"));
        assert_eq!(html.matches("<span>n: 3 prompts</span> <span>seed 7</span>").count(), 2);
        assert!(html.contains("<code>r-1</code>"));
    }

    #[test]
    fn contents_lead_to_sections_that_exist() {
        let html = page().html();
        for id in ["summary", "section-1", "provenance"] {
            assert!(
                html.contains(&format!("href=\"#{id}\"")) && html.contains(&format!("<section id=\"{id}\"")),
                "{id}"
            );
        }
    }
}
