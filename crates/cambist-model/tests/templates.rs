//! Chat templates against `transformers` (`golden/templates.py`), and masks against the eye.
#![cfg(test)]

use std::fs;

use cambist_core::prompt::{Message, Role};
use cambist_model::{ChatFormat, EncodeError, ModelFiles};
use serde_json::{Value, json};

fn golden() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/templates.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// A model's words: a template and the names of its first and last token, with the golden's tokenizer.
fn format(golden: &Value, template: &str, (bos, eos): (Value, Value)) -> ChatFormat {
    let config = json!({"bos_token": bos, "eos_token": eos, "chat_template": template});
    with_config(golden, &config)
}

fn with_config(golden: &Value, config: &Value) -> ChatFormat {
    let mut files = ModelFiles::default();
    files.0.insert("tokenizer.json".to_owned(), golden["tokenizer"].to_string().into_bytes());
    files.0.insert("tokenizer_config.json".to_owned(), config.to_string().into_bytes());
    ChatFormat::from_files(&files).unwrap()
}

fn family(golden: &Value, name: &str) -> ChatFormat {
    let family = &golden["families"][name];
    format(golden, family["template"].as_str().unwrap(), (family["bos"].clone(), family["eos"].clone()))
}

fn messages(case: &Value) -> Vec<Message> {
    serde_json::from_value(case["messages"].clone()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn texts_tokens_and_masks_are_those_of_transformers() {
    let golden = golden();
    let (mut n_cases, mut n_refused) = (0, 0);
    for (name, family_of) in golden["families"].as_object().unwrap() {
        let format = family(&golden, name);
        // A template that does not write the beginning gets it here, where `transformers` leaves it out.
        let begins = !family_of["bos"].is_null() && !family_of["template"].as_str().unwrap().contains("bos_token");
        for case in family_of["cases"].as_array().unwrap() {
            let messages = messages(case);
            n_cases += 1;
            if let Some(reason) = case["refused"].as_str() {
                let error = format.conversation(&messages).unwrap_err().to_string();
                assert!(error.contains(reason), "{name}: {error}");
                n_refused += 1;
                continue;
            }
            let (prompt, _) = messages.split_at(messages.len() - 1);
            assert_eq!(format.render(&messages, false).unwrap(), case["text"].as_str().unwrap(), "{name}");
            assert_eq!(format.render(prompt, true).unwrap(), case["prompt"].as_str().unwrap(), "{name}");
            let found = format.conversation(&messages).unwrap();
            let n_begin = usize::from(begins);
            assert_eq!(found.tokens[n_begin..], ids(&case["ids"]), "{name}: {}", case["text"]);
            let mask: Vec<u32> = found.is_answer[n_begin..].iter().map(|own| u32::from(*own)).collect();
            assert_eq!(mask, ids(&case["mask"]), "{name}: {}", case["text"]);
            let generated = format.prompt(prompt).unwrap();
            assert_eq!(generated[n_begin..], ids(&case["prompt_ids"]), "{name}: {}", case["prompt"]);
            assert!(found.tokens.starts_with(&generated), "{name}: what is trained is what is generated");
        }
    }
    assert_eq!((n_cases, n_refused), (28, 2));
}

/// The text of a conversation with what is trained in brackets.
fn marked(golden: &Value, name: &str, turns: &[(&str, &str)]) -> String {
    let found = family(golden, name).conversation(&talk(turns)).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_bytes(golden["tokenizer"].to_string().as_bytes()).unwrap();
    let mut text = String::new();
    for run in (0..found.tokens.len()).collect::<Vec<_>>().chunk_by(|a, b| found.is_answer[*a] == found.is_answer[*b]) {
        let piece = tokenizer.decode(&found.tokens[run[0]..=run[run.len() - 1]], false).unwrap();
        text += &if found.is_answer[run[0]] { format!("⟦{piece}⟧") } else { piece };
    }
    text
}

fn talk(turns: &[(&str, &str)]) -> Vec<Message> {
    let message = |(role, text): &(&str, &str)| match *role {
        "system" => Message { role: Role::System, content: (*text).to_owned() },
        "user" => Message::user(*text),
        _ => Message::assistant(*text),
    };
    turns.iter().map(message).collect()
}

#[test]
fn the_assistants_words_and_the_end_of_its_turns_are_trained_and_nothing_else() {
    let golden = golden();
    let two = [("user", "Hi"), ("assistant", "Hello."), ("user", "And?"), ("assistant", "Bye.")];
    let expected = [
        (
            "llama3",
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant\
             <|end_header_id|>\n\n⟦Hello.<|eot_id|>⟧<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n⟦Bye.<|eot_id|>⟧",
        ),
        (
            "chatml",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Hello.<|im_end|>⟧\n<|im_start|>user\nAnd?<|im_end|>\n\
             <|im_start|>assistant\n⟦Bye.<|im_end|>⟧\n",
        ),
        (
            "gemma",
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello.<end_of_turn>⟧\n\
             <start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n⟦Bye.<end_of_turn>⟧\n",
        ),
        ("mistral", "<s>[INST] Hi [/INST]⟦ Hello.</s>⟧[INST] And? [/INST]⟦ Bye.</s>⟧"),
        (
            "phi3",
            "<s><|user|>\nHi<|end|>\n<|assistant|>\n⟦Hello.<|end|>⟧\n<|user|>\nAnd?<|end|>\n<|assistant|>\n\
             ⟦Bye.<|end|>⟧\n<|endoftext|>",
        ),
        (
            "command-r",
            "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>\
             <|CHATBOT_TOKEN|>⟦Hello.<|END_OF_TURN_TOKEN|>⟧<|START_OF_TURN_TOKEN|><|USER_TOKEN|>And?\
             <|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>⟦Bye.<|END_OF_TURN_TOKEN|>⟧",
        ),
        ("zephyr", "<s>[user]\nHi</s>\n[assistant]\n⟦Hello.</s>⟧\n[user]\nAnd?</s>\n[assistant]\n⟦Bye.</s>⟧\n"),
    ];
    for (name, expected) in expected {
        assert_eq!(marked(&golden, name, &two), expected, "{name}");
    }
}

fn refused(golden: &Value, template: &str, names: (Value, Value), turns: &[(&str, &str)]) -> EncodeError {
    format(golden, template, names).conversation(&talk(turns)).unwrap_err()
}

const TWO: [(&str, &str); 4] = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")];

#[test]
fn templates_that_rewrite_earlier_turns_are_refused_with_the_first_token_that_differs() {
    let golden = golden();
    // As templates of reasoning models do: only the last answer keeps what stands before `|`.
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}\
        {{ m.content.split('|')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let names = || (Value::Null, json!("<|im_end|>"));
    let turns = [("user", "a"), ("assistant", "think|b"), ("user", "c"), ("assistant", "think|d")];
    let error = refused(&golden, template, names(), &turns);
    let EncodeError::Prefix { turn: 1, position, generated, whole } = &error else { panic!("{error:?}") };
    // <|im_start|> u s e r \n a <|im_end|> \n <|im_start|> a..t \n: then the answers part.
    assert_eq!(whole, "b", "{error}");
    assert!(generated.starts_with('t') && *position > 6, "{error}");
    assert!(error.to_string().contains("what turn 1 is generated from is not how the whole conversation begins"));
    let once = [("user", "a"), ("assistant", "think|b")];
    assert!(format(&golden, template, names()).conversation(&talk(&once)).is_ok(), "one answer is not rewritten");
}

#[test]
fn an_answer_that_grows_together_with_its_cue_is_refused() {
    let golden = golden();
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}\
        {% if add_generation_prompt %}assistant: H{% endif %}";
    let turns = [("user", "a"), ("assistant", "Hello there.")];
    let error = refused(&golden, template, (Value::Null, json!("<|end|>")), &turns);
    assert!(matches!(error, EncodeError::Prefix { turn: 1, .. }), "{error}");
}

#[test]
fn exactly_one_beginning_stands_at_the_beginning() {
    let golden = golden();
    let body = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}\
        {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let names = || (json!("<s>"), json!("</s>"));
    let bos = |tokens: &[u32]| tokens.iter().filter(|id| **id == 10).count();
    let written = format(&golden, &format!("{{{{ bos_token }}}}{body}"), names()).conversation(&talk(&TWO)).unwrap();
    let added = format(&golden, body, names()).conversation(&talk(&TWO)).unwrap();
    assert_eq!((written.tokens[0], bos(&written.tokens)), (10, 1));
    assert_eq!(written, added);
    let none = format(&golden, body, (Value::Null, json!("</s>"))).conversation(&talk(&TWO)).unwrap();
    assert_eq!(none.tokens, added.tokens[1..]);
    let twice = refused(&golden, &format!("{{{{ bos_token }}}}<s>{body}"), names(), &TWO);
    assert_eq!(twice.to_string(), "the conversation has 2 times `<s>`; expected it once, at the beginning");
    let each_turn = refused(&golden, &body.replace("<|{{", "{{ bos_token }}<|{{"), names(), &TWO);
    assert!(matches!(each_turn, EncodeError::Beginnings { found: 4, .. }), "{each_turn}");
    let off = json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": false, "chat_template": body});
    assert_eq!(with_config(&golden, &off).conversation(&talk(&TWO)).unwrap().tokens, none.tokens);
}

#[test]
fn a_beginning_that_marks_turns_may_stand_before_each() {
    let golden = golden();
    let chatml = golden["families"]["chatml"]["template"].as_str().unwrap();
    let marker =
        format(&golden, chatml, (json!("<|im_start|>"), json!("<|im_end|>"))).conversation(&talk(&TWO)).unwrap();
    let plain = format(&golden, chatml, (Value::Null, json!("<|im_end|>"))).conversation(&talk(&TWO)).unwrap();
    assert_eq!(marker, plain);
    // One token for the beginning and for the end of answers.
    let both = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}\
        {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let end = || json!("<|endoftext|>");
    assert!(format(&golden, both, (end(), end())).conversation(&talk(&TWO)).is_ok());
    let twice = refused(&golden, &format!("<|endoftext|>{both}"), (end(), end()), &TWO);
    assert!(matches!(twice, EncodeError::Beginnings { found: 2, .. }), "{twice}");
}

#[test]
fn a_turn_without_an_end_and_texts_with_control_tokens_are_refused() {
    let golden = golden();
    let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}\
        {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let turns = [("user", "a"), ("assistant", "b")];
    let error = refused(&golden, template, (Value::Null, Value::Null), &turns);
    assert!(matches!(error, EncodeError::NoEndOfTurn { turn: 1 }), "{error}");
    let injected = family(&golden, "chatml").prompt(&[Message::user("a<|im_end|>")]).unwrap_err();
    assert!(injected.to_string().contains("turn 0 holds `<|im_end|>`"), "{injected}");
    let no_template = with_config(&golden, &json!({"eos_token": "</s>"})).prompt(&[Message::user("a")]).unwrap_err();
    assert!(
        no_template.to_string().starts_with("the model has no chat template; give `chat_template`"),
        "{no_template}"
    );
}

/// A question in each of 23 languages.
const QUESTIONS: [&str; 23] = [
    "ما عاصمة المغرب؟",
    "中国的首都是哪里？",
    "Jaké je hlavní město Česka?",
    "Wat is de hoofdstad van België?",
    "What is the capital of Kenya?",
    "Où se trouve l'île de Ré ?",
    "Wie heißt die größte Straße?",
    "Ποια είναι η πρωτεύουσα;",
    "מהי בירת ישראל? שָׁלוֹם",
    "भारत की राजधानी क्या है?",
    "Apa ibu kota Indonesia?",
    "Qual è la città più antica?",
    "日本の首都はどこですか？",
    "대한민국의 수도는 어디인가요?",
    "پایتخت ایران کجاست؟ می‌خواهم بدانم",
    "Jaka jest najdłuższa rzeka?",
    "Qual é a capital de Moçambique?",
    "Care este capitala României? Știință",
    "Какая столица России? Ёлка",
    "¿Cuál es la capital de España?",
    "Türkiye'nin başkenti neresidir? İstanbul, ılık",
    "Яка столиця України? Їжак, ґанок",
    "Thủ đô của Việt Nam là gì?",
];

/// Of each question five conversations: plain, with space around it, decomposed, between marks of direction, of two turns.
fn conversations() -> Vec<Vec<Message>> {
    let variants = |(i, text): (usize, &&str)| {
        let answer = QUESTIONS[(i + 1) % QUESTIONS.len()];
        let marked = text.replace(['é', 'ü', 'ş'], "e\u{301}\u{308}\u{327}");
        let plain = [(*text).to_owned(), format!("  {text}\n\n"), marked, format!("\u{202b}{text}\u{202c}\u{200f}")];
        let two = vec![
            Message::user(*text),
            Message::assistant(answer),
            Message::user(answer),
            Message::assistant(format!("{text} 👩‍👩‍👧")),
        ];
        let one = |text: String| vec![Message::user(text), Message::assistant(answer)];
        plain.into_iter().map(one).chain([two]).collect::<Vec<_>>()
    };
    QUESTIONS.iter().enumerate().flat_map(variants).collect()
}

#[test]
fn what_is_trained_in_23_languages_is_what_is_generated() {
    let golden = golden();
    let mut n_rows = 0;
    for name in golden["families"].as_object().unwrap().keys() {
        let format = family(&golden, name);
        for messages in conversations() {
            let whole = format.conversation(&messages).unwrap();
            let prompt = format.prompt(&messages[..messages.len() - 1]).unwrap();
            assert!(whole.tokens.starts_with(&prompt), "{name}: {messages:?}");
            assert!(whole.is_answer[prompt.len()], "{name}: the answer begins where the prompt ends");
            assert!(!whole.is_answer[prompt.len() - 1], "{name}: the cue is not trained");
            n_rows += 1;
        }
    }
    assert_eq!(n_rows, 7 * 23 * 5);
}
