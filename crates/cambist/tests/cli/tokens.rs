//! `cambist tokens` shows what a model reads, and what of it is trained.

use std::{io::Write as _, process::Stdio};

use serde_json::Value;

use crate::world::{Told, World};

/// A folder with a tokenizer of bytes and a few control tokens.
fn world() -> World {
    let world = World::new();
    let control = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"];
    let mut vocab: Vec<String> = control.iter().map(ToString::to_string).collect();
    vocab.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let ids: serde_json::Map<String, Value> =
        vocab.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    let added: Vec<Value> = control
        .iter()
        .enumerate()
        .map(|(id, content)| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": false,
            "vocab": ids, "merges": []},
    });
    let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let config = serde_json::json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template});
    world.write("model/tokenizer.json", tokenizer.to_string());
    world.write("model/tokenizer_config.json", config.to_string());
    world
}

const ROWS: &str = "\
{\"id\": \"talk\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\\nyou\"}, {\"role\": \"assistant\", \"content\": \"Ça va\"}, {\"role\": \"user\", \"content\": \"?\"}, {\"role\": \"assistant\", \"content\": \"ok\"}]}
{\"id\": \"pair\", \"prompt\": \"A?\", \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"zz\"}]}
{\"id\": \"asked\", \"prompt\": \"مرحبا\"}
{\"id\": \"answered\", \"prompt\": \"1+1\", \"completion\": \"2\"}
{\"text\": \"日本\"}
{\"id\": \"control\", \"prompt\": \"a<|end|>\"}
";

/// What the rows above are shown as.
const SHOWN: &str = "\
talk (conversation): 28 tokens, 10 trained, 9 control
<s><|user|>Hi
you<|end|>
<|assistant|>⟦Ça va<|end|>⟧
<|user|>?<|end|>
<|assistant|>⟦ok<|end|>⟧


pair (pair, chosen): 10 tokens, 2 trained, 5 control
<s><|user|>A?<|end|>
<|assistant|>⟦a<|end|>⟧


pair (pair, rejected): 11 tokens, 3 trained, 5 control
<s><|user|>A?<|end|>
<|assistant|>⟦zz<|end|>⟧


asked (prompt): 15 tokens, 0 trained, 4 control
<s><|user|>مرحبا<|end|>
<|assistant|>

answered (conversation): 11 tokens, 2 trained, 5 control
<s><|user|>1+1<|end|>
<|assistant|>⟦2<|end|>⟧


line 5 (document): 8 tokens, 7 trained, 2 control
<s>⟦日本</s>⟧

control (prompt): refused: turn 0 holds `<|end|>`, which this model reads as a control token; remove it from the text

";

#[test]
fn every_kind_of_row_is_shown_with_what_is_trained() {
    let world = world();
    world.write("rows.jsonl", ROWS);
    let told = world.run(&["tokens", "model", "--data", "rows.jsonl"]);
    assert_eq!(told.out, SHOWN);
    assert!(told.err.starts_with("6 rows, 83 tokens, 24 of them trained\n"), "{}", told.err);
}

#[test]
fn ids_list_every_token() {
    let world = world();
    world.write("few.jsonl", ROWS.lines().nth(3).unwrap());
    let told = world.run(&["tokens", "model", "--data", "few.jsonl", "--ids"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let lines = [
        "at  id  token          text",
        " 0   0  <s>            put here         control",
        " 1   2  <|user|>       \"<|user|>\"       control",
        " 2  54  <0x31>         \"1\"",
        " 6  15  <0x0A>         \"\\n\"",
        " 8  55  <0x32>         \"2\"              trained",
        " 9   4  <|end|>        \"<|end|>\"        trained, control",
    ];
    for line in lines {
        assert!(told.out.lines().any(|shown| shown == line), "no `{line}` in\n{}", told.out);
    }
}

fn piped(world: &World, text: &str, args: &[&str]) -> Told {
    let mut command = world.command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Told::of(child.wait_with_output().unwrap())
}

#[test]
fn text_on_stdin_is_a_document_or_a_prompt() {
    let world = world();
    let document = piped(&world, "Olá\n", &["tokens", "model"]);
    assert_eq!(document.code, 0, "{}", document.err);
    assert_eq!(document.out, "stdin (document): 6 tokens, 5 trained, 2 control\n<s>⟦Olá</s>⟧\n\n");
    let prompt = piped(&world, "Olá\n", &["tokens", "model", "--prompt"]);
    assert_eq!(prompt.out, "stdin (prompt): 9 tokens, 0 trained, 4 control\n<s><|user|>Olá<|end|>\n<|assistant|>\n\n");
    let nothing = piped(&world, "", &["tokens", "model"]);
    nothing.is_explained(2, "nothing to show: give text on stdin");
}

#[test]
fn json_holds_every_token_and_where_it_comes_from() {
    let world = world();
    world.write("rows.jsonl", ROWS.lines().nth(3).unwrap());
    let told = world.run(&["tokens", "model", "--data", "rows.jsonl", "--json"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let json: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(json["totals"], serde_json::json!({"rows": 1, "refused": 0, "tokens": 11, "trained": 2}));
    let sequence = &json["rows"][0]["sequences"][0];
    assert_eq!(sequence["text"], "<|user|>1+1<|end|>\n<|assistant|>2<|end|>\n");
    let trained: Vec<&Value> =
        sequence["tokens"].as_array().unwrap().iter().filter(|token| token["is_trained"] == true).collect();
    assert_eq!(trained[0]["id"], 5 + u32::from(b'2'));
    assert_eq!((&trained[1]["name"], &trained[1]["is_control"]), (&"<|end|>".into(), &true.into()));
    let span = |token: &Value| {
        sequence["text"].as_str().unwrap()
            [token["span"]["start"].as_u64().unwrap() as usize..token["span"]["end"].as_u64().unwrap() as usize]
            .to_owned()
    };
    assert_eq!((span(trained[0]), span(trained[1])), ("2".to_owned(), "<|end|>".to_owned()));
}

#[test]
fn rows_that_cannot_become_tokens_are_told_with_their_reasons() {
    let world = world();
    world.write("rows.jsonl", ROWS);
    let told = world.run(&["tokens", "model", "--data", "rows.jsonl"]);
    told.is_explained(2, "… of … rows cannot become tokens");
    assert!(told.out.contains("control (prompt): refused: turn 0 holds `<|end|>`"), "{}", told.out);
    world.write("shape.jsonl", "{\"quote\": \"a\"}\n");
    let told = world.run(&["tokens", "model", "--data", "shape.jsonl"]);
    assert_eq!(told.code, 2, "{}", told.err);
    assert!(
        told.err.contains(
            "line 1: field `messages`, `chosen` and `rejected`, `prompt` or `text` is missing, found `quote`"
        ),
        "{}",
        told.err
    );
    let apart = "{\"chosen\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}], \
        \"rejected\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": \"c\"}]}\n";
    world.write("apart.jsonl", apart);
    let told = world.run(&["tokens", "model", "--data", "apart.jsonl"]);
    assert!(told.err.contains("`chosen` and `rejected` differ before their last turn"), "{}", told.err);
    let told = world.run(&["tokens", "nowhere", "--data", "rows.jsonl"]);
    assert_eq!(told.code, 2, "{}", told.err);
}
