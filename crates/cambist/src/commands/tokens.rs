//! `cambist tokens`: a row as the model reads it, with what is trained marked.

use std::io::Read as _;

use cambist_pipeline::tokens::{TokenView, TokenizedRow, TokenizedText, Words};
use serde_json::{Value, json};

use crate::{args::TokensArgs, failure::Failure, screen};

/// What stands around trained text.
const TRAINED: [char; 2] = ['⟦', '⟧'];

/// Counts over the rows that were shown.
#[derive(Default)]
struct Totals {
    n_rows: usize,
    n_refused: usize,
    n_tokens: usize,
    n_trained: usize,
}

/// Shows the rows of a file, or the text on stdin.
pub(super) fn perform(args: &TokensArgs) -> Result<(), Failure> {
    let words = Words::open(&args.model)?;
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    let mut show = |row: &TokenizedRow| {
        totals.add(row);
        if args.json {
            rows.push(to_json(row));
            return Ok(());
        }
        tell(row, args.ids)
    };
    match &args.data {
        Some(path) => {
            for row in words.rows(path)?.take(args.rows) {
                show(&row?)?;
            }
        }
        None => show(&words.text(&text_of_stdin()?, args.prompt))?,
    }
    if args.json {
        screen::print(&json!({ "rows": rows, "totals": totals.to_json() }).to_string())?;
    }
    totals.end()
}

fn text_of_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| Failure::of_the_world(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::yours("stdin is not UTF-8: give text, or `--data`"))?;
    let text = text.strip_suffix('\n').map(str::to_owned).unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::yours("nothing to show: give text on stdin, or rows with `--data FILE`"));
    }
    Ok(text)
}

impl Totals {
    fn add(&mut self, row: &TokenizedRow) {
        self.n_rows += 1;
        match &row.sequences {
            Err(_) => self.n_refused += 1,
            Ok(sequences) => {
                self.n_tokens += sequences.iter().map(|text| text.tokens.len()).sum::<usize>();
                self.n_trained += sequences.iter().map(TokenizedText::n_trained).sum::<usize>();
            }
        }
    }

    fn to_json(&self) -> Value {
        let Self { n_rows, n_refused, n_tokens, n_trained } = self;
        json!({ "rows": n_rows, "refused": n_refused, "tokens": n_tokens, "trained": n_trained })
    }

    /// Rows that cannot become tokens would stop a training run.
    fn end(&self) -> Result<(), Failure> {
        let Self { n_rows, n_refused, n_tokens, n_trained } = self;
        screen::talk(&format!("{n_rows} rows, {n_tokens} tokens, {n_trained} of them trained"));
        match n_refused {
            0 => Ok(()),
            n => {
                Err(Failure::yours(format!("{n} of {n_rows} rows cannot become tokens; the reasons stand beside them")))
            }
        }
    }
}

fn tell(row: &TokenizedRow, has_ids: bool) -> Result<(), Failure> {
    let sequences = match &row.sequences {
        Ok(sequences) => sequences,
        Err(reason) => return screen::print(&format!("{} ({}): refused: {reason}\n", row.id, row.kind)),
    };
    for (text, side) in sequences.iter().zip(["chosen", "rejected"]) {
        let side = if sequences.len() > 1 { format!(", {side}") } else { String::new() };
        let (n, trained, control) = (text.tokens.len(), text.n_trained(), text.n_control());
        let counts = format!("{n} tokens, {trained} trained, {control} control");
        screen::print(&format!("{} ({}{side}): {counts}", row.id, row.kind))?;
        screen::print(&marked(text))?;
        if has_ids {
            for line in table(text) {
                screen::print(&line)?;
            }
        }
        screen::print("")?;
    }
    Ok(())
}

/// The text with what is trained in brackets, and tokens that stand before or behind it in their places.
fn marked(text: &TokenizedText) -> String {
    let mut shown = String::new();
    let mut written = 0;
    for run in text.tokens.chunk_by(|a, b| a.is_trained == b.is_trained) {
        let end = run.iter().map(|token| token.span.end).max().unwrap_or(written).max(written);
        let put: Vec<&TokenView> = run.iter().filter(|token| token.span.is_empty() && token.is_control).collect();
        let is_before = put.iter().all(|token| token.span.end == 0);
        let names: String = put.iter().map(|token| token.name.as_str()).collect();
        let own = text.text.get(written..end).unwrap_or_default();
        let words = if is_before { names + own } else { own.to_owned() + &names };
        if run.first().is_some_and(|token| token.is_trained) {
            shown.extend([TRAINED[0].to_string(), words, TRAINED[1].to_string()]);
        } else {
            shown += &words;
        }
        written = end;
    }
    shown + text.text.get(written..).unwrap_or_default()
}

fn table(text: &TokenizedText) -> Vec<String> {
    let row = |(position, token): (usize, &TokenView)| {
        let words = text.text.get(token.span.clone()).unwrap_or_default();
        let words = if token.span.is_empty() { "put here".to_owned() } else { format!("{words:?}") };
        let marks = [("trained", token.is_trained), ("control", token.is_control)];
        let marks: Vec<&str> = marks.iter().filter(|(_, is)| *is).map(|(mark, _)| *mark).collect();
        vec![position.to_string(), token.id.to_string(), token.name.clone(), words, marks.join(", ")]
    };
    let rows: Vec<Vec<String>> = text.tokens.iter().enumerate().map(row).collect();
    screen::columns(&[" at", " id", "token", "text", ""], &rows)
}

fn to_json(row: &TokenizedRow) -> Value {
    match &row.sequences {
        Err(reason) => json!({ "id": row.id, "kind": row.kind, "refused": reason }),
        Ok(sequences) => {
            let sequence = |text: &TokenizedText| {
                json!({ "text": text.text, "n_tokens": text.tokens.len(), "n_trained": text.n_trained(),
                    "n_control": text.n_control(), "tokens": text.tokens })
            };
            let sequences: Vec<Value> = sequences.iter().map(sequence).collect();
            json!({ "id": row.id, "kind": row.kind, "sequences": sequences })
        }
    }
}
