//! Chat templates: Jinja as `transformers` sets it up.
//!
//! Blocks eat the line break behind them and the blanks before them, loops may be left early, methods are Python's, and
//! values are printed as Python prints them. One thing is left out: the clock. A template that writes today's date
//! would give every day other tokens, so `strftime_now` is no function here: templates that can do without take the
//! date that they hold, and others are refused.

use minijinja::{
    Environment, Error, ErrorKind, Output, State, Value, context,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde, ValueKind},
};
use serde::Serialize;
use serde_json::ser::Formatter;

/// What a template is given beside the conversation.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) bos: Option<&'a str>,
    pub(super) eos: Option<&'a str>,
}

/// A chat template, read and not yet filled in.
#[derive(Debug)]
pub(super) struct Template(Environment<'static>);

/// The name of the only template.
const NAME: &str = "chat";

impl Template {
    /// Reads Jinja.
    pub(super) fn new(text: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(as_python);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, without_generation_marks(text))?;
        Ok(Self(environment))
    }

    /// Returns the text of a conversation, with the cue for an answer where asked; why it cannot be had otherwise.
    pub(super) fn render(
        &self,
        messages: impl Serialize,
        (has_cue, names): (bool, Names<'_>),
    ) -> Result<String, String> {
        let variables = context! {
            messages => Serde(messages), add_generation_prompt => has_cue,
            bos_token => names.bos, eos_token => names.eos,
        };
        self.render_with(variables)
    }

    fn render_with(&self, variables: Value) -> Result<String, String> {
        let template = self.0.get_template(NAME).map_err(told)?;
        template.render(variables).map_err(told)
    }
}

/// The clock that templates may ask for.
const CLOCK: &str = "strftime_now";

fn told(error: Error) -> String {
    let text = format!("{error:#}");
    match error.kind() == ErrorKind::UnknownFunction && text.contains(CLOCK) {
        true => format!(
            "it writes today's date (`{CLOCK}`), which would give every day other tokens; write a date into the template"
        ),
        false => text,
    }
}

/// Opening and closing tag of what the assistant writes, and tags that mean nothing in their places.
const GENERATION: [(&str, &str); 2] = [("endgeneration", "endif"), ("generation", "if true")];

/// Takes away the marks around an assistant's words that training variants of templates hold (`{% generation %}`): what
/// is trained is told by tokens here. The tags become others that keep the white space as it would be.
fn without_generation_marks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let word = tag.trim_start_matches("{%").trim_start_matches(['-', '+']).trim_end_matches("%}");
        let word = word.trim_end_matches(['-', '+']).trim();
        let plain = GENERATION.iter().find(|(mark, _)| *mark == word);
        kept.push_str(before);
        kept.push_str(&plain.map_or(tag.to_owned(), |(mark, plain)| tag.replacen(mark, plain, 1)));
        rest = after;
    }
    kept + rest
}

/// Prints a value as Python's `str` does.
fn as_python(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            repr(&mut text, value)?;
            Ok(out.write_str(&text)?)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Appends what Python's `repr` makes of a value.
fn repr(text: &mut String, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => text.push_str(&quoted(&value.to_string())),
        ValueKind::Seq => {
            text.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                text.push_str(if i > 0 { ", " } else { "" });
                repr(text, &item)?;
            }
            text.push(']');
        }
        ValueKind::Map => {
            text.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                text.push_str(if i > 0 { ", " } else { "" });
                repr(text, &key)?;
                text.push_str(": ");
                repr(text, &value.get_item(&key)?)?;
            }
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
    Ok(())
}

/// A text in single quotes, in double ones where it holds single ones alone.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            c if c == quote => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

/// `json.dumps` without ASCII escapes, as the filter `tojson` of `transformers`: Jinja's own escapes HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Without escapes there is nothing to ensure.
    let (_, sorts): (Option<bool>, Option<bool>) = (options.get("ensure_ascii")?, options.get("sort_keys")?);
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let separators = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "`separators` are two texts")),
        None => [if indent.is_some() { "," } else { ", " }, ": "].map(str::to_owned),
    };
    let mut bytes = vec![];
    let formatter = PythonJson { indent, separators, depth: 0, is_empty: true };
    let failed = |why: String| Error::new(ErrorKind::InvalidOperation, format!("no JSON: {why}"));
    let mut json = serde_json::to_value(value).map_err(|error| failed(error.to_string()))?;
    if sorts == Some(true) {
        json.sort_all_objects();
    }
    let written = json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter));
    written.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// JSON with the blanks and line breaks of Python.
struct PythonJson {
    indent: Option<usize>,
    /// What stands between items, and between a key and its value.
    separators: [String; 2],
    depth: usize,
    /// Whether nothing stands in the innermost brackets.
    is_empty: bool,
}

impl PythonJson {
    fn open<W: std::io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> std::io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(bracket)
    }

    fn close<W: std::io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> std::io::Result<()> {
        self.depth -= 1;
        if !std::mem::take(&mut self.is_empty) {
            self.new_line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn begin<W: std::io::Write + ?Sized>(&mut self, writer: &mut W, is_first: bool) -> std::io::Result<()> {
        self.is_empty = false;
        if !is_first {
            writer.write_all(self.separators[0].as_bytes())?;
        }
        self.new_line(writer)
    }

    fn new_line<W: std::io::Write + ?Sized>(&self, writer: &mut W) -> std::io::Result<()> {
        match self.indent {
            Some(indent) => writer.write_all(format!("\n{}", " ".repeat(indent * self.depth)).as_bytes()),
            None => Ok(()),
        }
    }
}

impl Formatter for PythonJson {
    fn begin_array<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: std::io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        self.begin(writer, first)
    }

    fn begin_object<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: std::io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        self.begin(writer, first)
    }

    fn begin_object_value<W: std::io::Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(self.separators[1].as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// One file of `chat-templates`: cases that Python's Jinja renders in the same way.
    fn cases(file: &str) -> Vec<Value> {
        let path = format!("{}/../../../shared/data/chat-templates/{file}", env!("CARGO_MANIFEST_DIR"));
        let Ok(lines) = fs::read_to_string(&path) else {
            println!("skipped: {path} is not there");
            return vec![];
        };
        let cases = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        cases.filter(|case: &Value| case.get_attr("matches_jinja2").unwrap().is_true()).collect()
    }

    fn text(case: &Value, key: &str) -> String {
        case.get_attr(key).unwrap().as_str().unwrap().to_owned()
    }

    /// Names of cases that are not rendered as expected, and how they are.
    fn differing(cases: &[Value], keys: [&str; 3]) -> Vec<(String, String)> {
        let differing = |case: &Value| {
            let [template, variables, expected] = keys;
            let rendered = Template::new(&text(case, template))
                .map_err(told)
                .and_then(|template| template.render_with(case.get_attr(variables).unwrap()));
            let expected = text(case, expected);
            (rendered.as_ref() != Ok(&expected))
                .then(|| (text(case, "name"), format!("{rendered:?}, expected {expected:?}")))
        };
        cases.iter().filter_map(differing).collect()
    }

    /// Of the one real template that differs: a line break between the tool calls that it lists.
    const LISTS_CALLS: &str = "CohereForAI/c4ai-command-r-v01 (JSON Schema)";

    #[test]
    fn templates_of_real_models_render_as_jinja_renders_them() {
        let mut cases = cases("huggingface.js_renderings.jsonl");
        cases.retain(|case| text(case, "name") != LISTS_CALLS);
        let failed = differing(&cases, ["chat_template", "data", "target"]);
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(cases.is_empty() || cases.len() > 35, "{}", cases.len());
    }

    /// What the template engine has otherwise, and no template of a known model uses: `float` with a default, `sort` with
    /// arguments by place, variables called like keywords.
    const OTHERWISE: [&str; 4] =
        ["FILTER_OPERATOR_14", "SORT_POSITIONAL_REVERSE", "SORT_POSITIONAL_MIXED", "CONTEXT_KEYWORDS"];

    #[test]
    fn jinja_is_what_python_has() {
        let mut cases = cases("huggingface.js_jinja_units.jsonl");
        cases.retain(|case| !OTHERWISE.contains(&text(case, "name").as_str()));
        let failed = differing(&cases, ["template", "context", "expected"]);
        assert!(failed.is_empty(), "{failed:#?}");
        assert!(cases.is_empty() || cases.len() > 60, "{}", cases.len());
    }

    fn rendered(template: &str) -> Result<String, String> {
        let template = Template::new(template).map_err(told)?;
        template
            .render_with(context! { text => "<a> 'é' & \"b\"\n", list => Serde([1, 2]), yes => true, nothing => () })
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let json = |of: &str| rendered(&format!("{{{{ {of} }}}}")).unwrap();
        assert_eq!(json("text | tojson"), r#""<a> 'é' & \"b\"\n""#);
        assert_eq!(json("{'a': list, 'b': {}} | tojson"), r#"{"a": [1, 2], "b": {}}"#);
        assert_eq!(
            json("{'a': list, 'b': []} | tojson(indent=2)"),
            "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}"
        );
    }

    #[test]
    fn values_are_printed_as_python_prints_them() {
        let printed = rendered("{{ yes }} {{ nothing }} {{ [1, 'a', \"it's\", none] }} {{ {'k': false} }}").unwrap();
        assert_eq!(printed, "True None [1, 'a', \"it's\", None] {'k': False}");
    }

    #[test]
    fn marks_of_generated_text_leave_no_trace() {
        let marked = "a\n{% generation %}\nb\n{%- endgeneration %}\n c {% raw %}{% generation %}{% endraw %}";
        let plain = "a\n{% if true %}\nb\n{%- endif %}\n c {% raw %}{% if true %}{% endraw %}";
        assert_eq!(rendered(marked), rendered(plain));
        assert_eq!(rendered("{%- generation -%} b {%- endgeneration -%} c").unwrap(), "bc");
    }

    #[test]
    fn todays_date_is_refused_unless_the_template_can_do_without() {
        let error = rendered("{{ strftime_now('%d %b %Y') }}").unwrap_err();
        assert!(error.starts_with("it writes today's date (`strftime_now`)"), "{error}");
        let guarded = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}";
        assert_eq!(rendered(guarded).unwrap(), "26 Jul 2024");
    }
}
