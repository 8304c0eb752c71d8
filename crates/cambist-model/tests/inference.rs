//! Inference at once and together: requests that join, prompts that are shared, contexts that are computed once.
#![cfg(test)]

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use cambist_core::{completion::FinishReason, prompt::Message};
use cambist_model::{
    AnswerRequest, ChoiceQuestion, EncodeError, Generated, Generation, LocalModel, ModelFiles, Sampling, TokenLogProb,
    choices, log_probs, sequence_log_probs,
};
use serde::Deserialize;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn model(name: &str) -> LocalModel {
    let entries = fs::read_dir(folder(name)).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    let files = ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect());
    LocalModel::from_files(&files).unwrap()
}

/// Tokens of words that the models of the families have; some reach beyond windows and LongRoPE's first context.
fn words(from: u32, n: u32) -> String {
    (0..n).map(|i| format!("w{}", 3 + (from + i * 7) % 45)).collect::<Vec<_>>().join(" ")
}

const FAMILIES: [&str; 11] =
    ["llama", "mistral", "qwen2", "qwen3", "phi3", "phi3-long", "gemma2", "gemma3", "cohere", "cohere-norm", "cohere2"];

#[derive(Default, Debug)]
struct Told {
    text: String,
    tokens: Vec<TokenLogProb>,
    answer: Option<Generated>,
}

/// Runs requests to their ends, `later` ones joining after a few steps.
fn run(
    model: &LocalModel,
    batch_size: usize,
    requests: &[AnswerRequest],
    later: &[AnswerRequest],
) -> BTreeMap<u64, Told> {
    let mut generation = Generation::new(model, batch_size);
    requests.iter().for_each(|request| generation.ask(request.clone()).unwrap());
    let (mut told, mut n_steps) = (BTreeMap::<u64, Told>::new(), 0);
    while !generation.is_idle() {
        for drawn in generation.step().unwrap() {
            let told = told.entry(drawn.ticket).or_default();
            told.text.push_str(&drawn.text);
            told.tokens.extend(drawn.token);
            if let Some(answer) = drawn.finished {
                assert!(told.answer.replace(answer.unwrap()).is_none());
            }
        }
        n_steps += 1;
        if n_steps == 3 {
            later.iter().for_each(|request| generation.ask(request.clone()).unwrap());
        }
    }
    told
}

fn request(model: &LocalModel, ticket: u64, text: &str, sampling: Sampling) -> AnswerRequest {
    let prompt = model.encode(&[Message::user(text)]).unwrap().into();
    let plain = AnswerRequest::new(ticket, prompt, (Arc::new(sampling), ticket.to_string()));
    AnswerRequest { n_top: Some(3), streams: true, ..plain }
}

#[test]
fn an_answer_does_not_depend_on_who_joins_or_shares_its_prompt() {
    for name in ["families/llama", "families/gemma2", "families/phi3-long", "families/cohere2"] {
        let model = model(name);
        let sampling = |i: u64| Sampling {
            temperature: [0.0, 1.0, 1.5][i as usize % 3],
            repetition_penalty: (i % 2 == 1).then_some(1.2),
            min_p: (i % 3 == 1).then_some(0.02),
            max_new_tokens: 4 + i as usize * 2,
            seed: i,
            ..Sampling::default()
        };
        // Three share a prompt; others have their own.
        let text = |i: u64| if i < 3 { words(1, 12) } else { words(i as u32, 5 + 4 * i as u32 % 22) };
        let requests: Vec<_> = (0..8).map(|i| request(&model, i, &text(i), sampling(i))).collect();
        let together = run(&model, 8, &requests[..5], &requests[5..]);
        let few = run(&model, 2, &requests, &[]);
        for request in &requests {
            let alone = run(&model, 1, std::slice::from_ref(request), &[]);
            let (alone, i) = (&alone[&request.ticket], request.ticket);
            for other in [&together[&i], &few[&i]] {
                assert_eq!(other.answer, alone.answer, "{name} {i}");
                assert_eq!(other.tokens, alone.tokens, "{name} {i}");
                assert_eq!(other.text, alone.answer.as_ref().unwrap().text, "{name} {i}");
            }
        }
    }
}

#[test]
fn drawn_tokens_come_with_the_log_probabilities_of_scoring() {
    for name in FAMILIES {
        let model = model(&format!("families/{name}"));
        let sampling = Sampling { temperature: 1.0, max_new_tokens: 12, seed: 4, ..Sampling::default() };
        let request = request(&model, 0, &words(2, 24), sampling);
        let told = &run(&model, 1, std::slice::from_ref(&request), &[])[&0];
        let drawn: Vec<u32> = told.tokens.iter().map(|token| token.token).collect();
        let whole = [&request.prompt[..], &drawn].concat();
        let scored = &sequence_log_probs(&model, &[&whole], 3).unwrap()[0][request.prompt.len() - 1..];
        for (drawn, scored) in told.tokens.iter().zip(scored) {
            // A cache of LongRoPE was turned by the angles of its time; whole sequences by those of their length.
            let tolerance = if name == "phi3-long" { 1.0 } else { 2e-5 };
            assert_eq!(drawn.token, scored.token, "{name}");
            assert!((drawn.log_prob - scored.log_prob).abs() < tolerance, "{name}: {drawn:?} {scored:?}");
            assert!(drawn.top.len() == 3 && drawn.top[0].1 >= drawn.top[1].1, "{name}: {drawn:?}");
        }
    }
}

#[test]
fn a_prompt_that_is_scored_has_the_log_probabilities_of_scoring() {
    let model = model("families/gemma3");
    let plain = request(&model, 0, &words(2, 20), Sampling { max_new_tokens: 3, ..Sampling::default() });
    let scored = AnswerRequest { n_top_of_prompt: Some(2), ..plain.clone() };
    let none = Sampling { max_new_tokens: 0, ..Sampling::default() };
    let alone = AnswerRequest { ticket: 1, sampling: Arc::new(none), ..scored.clone() };
    let expected = &sequence_log_probs(&model, &[&plain.prompt], 2).unwrap()[0];
    let mut generation = Generation::new(&model, 4);
    [scored, alone, plain].into_iter().for_each(|request| generation.ask(request).unwrap());
    let drawn = generation.step().unwrap();
    let with_prompt: Vec<_> = drawn.iter().filter(|drawn| !drawn.prompt.is_empty()).collect();
    assert_eq!(with_prompt.iter().map(|drawn| drawn.ticket).collect::<Vec<_>>(), [0, 1]);
    for (found, expected) in with_prompt.iter().flat_map(|drawn| drawn.prompt.iter().zip(expected)) {
        assert!(found.token == expected.token && (found.log_prob - expected.log_prob).abs() < 2e-5, "{found:?}");
        assert_eq!(found.top.len(), 2);
    }
    assert_eq!(with_prompt[0].prompt.len(), expected.len());
    assert_eq!(with_prompt[1].finished.as_ref().unwrap().as_ref().unwrap().tokens_out, 0);
}

#[test]
fn sums_over_an_answer_equal_those_of_conversations() {
    let model = model("tied");
    let messages = vec![Message::user("Bugün hava"), Message::assistant("çok güzel")];
    let prompt = model.encode(&messages[..1]).unwrap();
    let answer = log_probs(&model, std::slice::from_ref(&messages)).unwrap().remove(0).unwrap();
    let mut whole = prompt.clone();
    whole.extend(model.tokenizer().encode("çok güzel<|end|>").unwrap());
    let scored = &sequence_log_probs(&model, &[&whole], 0).unwrap()[0][prompt.len() - 1..];
    assert_eq!(scored.len(), answer.n_tokens);
    assert!((scored.iter().map(|token| token.log_prob).sum::<f64>() - answer.sum).abs() < 1e-4);
}

#[test]
fn a_stop_text_ends_an_answer_and_is_not_in_it() {
    let model = model("families/llama");
    let greedy = |stop: Vec<String>| Sampling { max_new_tokens: 14, stop, ..Sampling::default() };
    let of = |sampling| run(&model, 1, &[request(&model, 0, &words(3, 9), sampling)], &[]).remove(&0).unwrap();
    let whole = of(greedy(vec![])).answer.unwrap();
    let words: Vec<&str> = whole.text.split(' ').collect();
    // Across the border of two tokens, from the middle of one to the middle of the next.
    let stop = format!("{} {}", &words[4][1..], &words[5][..1]);
    let at = whole.text.find(&stop).unwrap();
    let told = of(greedy(vec!["never there".into(), stop]));
    let cut = told.answer.unwrap();
    assert_eq!(cut.text, whole.text[..at]);
    assert_eq!(told.text, cut.text);
    assert_eq!(cut.finish_reason, FinishReason::Stop);
    assert!(cut.tokens_out < whole.tokens_out && cut.tokens_out as usize <= 6, "{cut:?}");
}

#[test]
fn forgotten_answers_leave_and_refused_prompts_do_not_enter() {
    let model = model("families/llama");
    let mut generation = Generation::new(&model, 2);
    let sampling = Sampling { max_new_tokens: 30, ..Sampling::default() };
    for ticket in 0..3 {
        generation.ask(request(&model, ticket, "w5 w6", sampling.clone())).unwrap();
    }
    generation.step().unwrap();
    generation.retain(|ticket| ticket == 2);
    let drawn = generation.step().unwrap();
    assert!(!drawn.is_empty() && drawn.iter().all(|drawn| drawn.ticket == 2), "{drawn:?}");
    let none = AnswerRequest { prompt: Arc::from([]), ..request(&model, 9, "w5", sampling.clone()) };
    assert!(matches!(generation.ask(none), Err(EncodeError::EmptyMask(_))));
    let long = AnswerRequest { prompt: vec![5; 64].into(), ..request(&model, 9, "w5", sampling) };
    assert!(matches!(generation.ask(long), Err(EncodeError::TooLong { n_tokens: 65, max_positions: 64 })));
}

#[test]
fn choices_of_a_context_equal_whole_sequences() {
    for name in FAMILIES {
        let model = model(&format!("families/{name}"));
        let question = |from: u32, n: u32, lengths: &[u32]| ChoiceQuestion {
            context: words(from, n),
            continuations: lengths.iter().map(|length| format!(" {}", words(from * 5 + length, *length))).collect(),
        };
        let mut same = question(4, 6, &[3, 3, 2]);
        same.continuations[1] = format!("{} w9", same.continuations[0]);
        let questions = [
            question(1, 20, &[1, 1, 1, 1]),
            question(2, 9, &[5, 1, 8]),
            same,
            question(3, 25, &[2, 14]),
            question(5, 3, &[30]),
        ];
        let found = choices(&model, &questions).unwrap();
        for (question, found) in questions.iter().zip(&found) {
            assert_eq!(question.continuations.len(), found.len());
            let context = model.tokenizer().encode_with_specials(&question.context).unwrap();
            for (continuation, found) in question.continuations.iter().zip(found) {
                let text = format!("{}{continuation}", question.context);
                let whole = model.tokenizer().encode_with_specials(&text).unwrap();
                let scored = &sequence_log_probs(&model, &[&whole], 1).unwrap()[0][context.len() - 1..];
                let found = found.as_ref().unwrap();
                let sum: f64 = scored.iter().map(|token| token.log_prob).sum();
                assert!((found.sum - sum).abs() < 1e-5 * scored.len() as f64, "{name}: {found:?} {sum}");
                assert_eq!(found.n_tokens, scored.len(), "{name}");
                assert_eq!(found.is_greedy, scored.iter().all(|token| token.top[0].0 == token.token), "{name}");
                assert!(!found.merges && found.n_cut == 0, "{name}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Expected {
    context: String,
    continuations: Vec<String>,
    sums: Vec<f64>,
    greedy: Vec<bool>,
}

/// Tolerance 1e-4 nats for a sum: the harness rounds to f32, and its rows stand in padded batches.
#[test]
fn choices_equal_those_of_lm_evaluation_harness() {
    let expected: Vec<Expected> = serde_json::from_slice(&fs::read(folder("choices.json")).unwrap()).unwrap();
    let question = |e: &Expected| ChoiceQuestion { context: e.context.clone(), continuations: e.continuations.clone() };
    let questions: Vec<_> = expected.iter().map(question).collect();
    let found = choices(&model("tied"), &questions).unwrap();
    for (expected, found) in expected.iter().zip(found) {
        for (i, found) in found.into_iter().enumerate() {
            let found = found.unwrap();
            let what = format!("{:?}{:?}", expected.context, expected.continuations[i]);
            assert!((found.sum - expected.sums[i]).abs() < 1e-4, "{what}: {found:?} {}", expected.sums[i]);
            assert_eq!(found.is_greedy, expected.greedy[i], "{what}");
        }
    }
}

#[test]
fn what_cannot_be_scored_keeps_nothing_back() {
    let model = model("tied");
    let question = ChoiceQuestion {
        context: "hava ".to_owned(),
        continuations: vec![String::new(), "güzel".to_owned(), "uzun bir cümle ".repeat(40)],
    };
    let found = choices(&model, &[question]).unwrap().remove(0);
    // White space of the context counts to the continuation, so the first has a token too.
    assert_eq!(found[0].as_ref().unwrap().n_tokens, 1);
    assert!(found[1].is_ok());
    assert!(matches!(found[2], Err(EncodeError::TooLong { .. })), "{:?}", found[2]);
    let bare = ChoiceQuestion { context: "hava".to_owned(), continuations: vec![String::new()] };
    assert!(matches!(choices(&model, &[bare]).unwrap()[0][0], Err(EncodeError::EmptyMask(_))));
}
