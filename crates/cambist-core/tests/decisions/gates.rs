//! Gates on real text in real scripts.

use cambist_core::{
    candidate::Candidate,
    check::Check,
    completion::{Completion, FinishReason},
    gates::{Gates, LanguageVerdict, Reason, Verdict, tally},
    prompt::{Message, Prompt},
};

use crate::made::{answer, language, prompt};

const UKRAINIAN: &str = "Столиця України — Київ, найбільше місто країни, що стоїть на обох берегах Дніпра.";
const RUSSIAN: &str = "Столица страны — это самый большой её город, который стоит на обоих берегах широкой реки.";
const ENGLISH: &str = "The capital is the largest city of the country and lies on both banks of a wide river.";

fn ask(tag: &str, question: &str) -> Prompt {
    Prompt { messages: vec![Message::user(question)], ..prompt("p", tag) }
}

fn say(prompt: &Prompt, text: &str) -> Completion {
    Completion { text: text.into(), ..answer(prompt, "a", 0, None).completion }
}

fn judge(tag: &str, question: &str, text: &str) -> Verdict {
    let prompt = ask(tag, question);
    Gates::default().judge(&prompt, &say(&prompt, text))
}

fn reason(verdict: &Verdict) -> Option<Reason> {
    verdict.stopped.as_ref().map(|stop| stop.reason)
}

#[test]
fn another_language_is_stopped_in_the_same_script_and_in_another() {
    for (tag, text, expected) in [
        ("uk", UKRAINIAN, None),
        ("uk", RUSSIAN, Some(Reason::WrongLang)),
        ("uk", ENGLISH, Some(Reason::WrongLang)),
        ("ru", UKRAINIAN, Some(Reason::WrongLang)),
        ("en", ENGLISH, None),
        ("ja", "日本の首都は東京で、人口が最も多い都市でもあります。", None),
        ("ja", "日本的首都是东京，也是这个国家人口最多的城市，位于关东平原。", Some(Reason::WrongLang)),
        ("zh", "日本の首都は東京で、人口が最も多い都市でもあります。", Some(Reason::WrongLang)),
        ("zh-hant", "日本的首都是東京，也是這個國家人口最多的城市，位於關東平原。", None),
        ("zh-hant", "日本的首都是东京，也是这个国家人口最多的城市，我们认为它发展很快。", Some(Reason::WrongLang)),
        ("sr", "Glavni grad zemlje je Beograd, koji leži na ušću Save u Dunav.", None),
        ("sr", "Главни град земље је Београд, који лежи на ушћу Саве у Дунав.", None),
        ("sr-cyrl", "Glavni grad zemlje je Beograd, koji leži na ušću Save u Dunav.", Some(Reason::WrongLang)),
    ] {
        let verdict = judge(tag, "?", text);
        assert_eq!(reason(&verdict), expected, "{tag}: {text} {verdict:?}");
        let language = if expected.is_some() { LanguageVerdict::WrongLang } else { LanguageVerdict::Pass };
        assert_eq!(verdict.language, language, "{tag}: {text}");
    }
}

#[test]
fn short_answers_and_unknown_languages_are_undecided_and_pass() {
    for (tag, text) in [
        ("uk", "7 березня"),
        ("uk", "March 7"),
        ("eu", "Hiriburua herrialdeko hiririk handiena da eta ibai baten ondoan dago."),
    ] {
        let verdict = judge(tag, "?", text);
        assert!(verdict.passed(), "{tag}: {text}");
        assert_eq!(verdict.language, LanguageVerdict::Undecided);
    }
}

#[test]
fn code_and_quotations_do_not_speak_for_the_answer() {
    let code = format!("{UKRAINIAN}\n```python\nfor line in open('words.txt'):\n    print(line.strip().lower())\n```");
    assert!(judge("uk", "?", &code).passed());
    let question = format!("Переклади українською: {ENGLISH}");
    assert!(judge("uk", &question, &format!("«{ENGLISH}» українською буде так: {UKRAINIAN}")).passed());
}

#[test]
fn a_translation_is_expected_in_the_language_it_was_asked_in() {
    let prompt =
        Prompt { answer_language: Some(language("en")), ..ask("uk", "Переклади англійською.") };
    assert!(Gates::default().judge(&prompt, &say(&prompt, ENGLISH)).passed());
    assert_eq!(reason(&Gates::default().judge(&prompt, &say(&prompt, UKRAINIAN))), Some(Reason::WrongLang));
}

#[test]
fn what_never_came_is_not_an_answer() {
    let prompt = ask("uk", "?");
    let said = say(&prompt, UKRAINIAN);
    let cases = [
        (Completion { failure: Some("timed out".into()), ..said.clone() }, Reason::Error),
        (Completion { finish_reason: FinishReason::Error, ..said.clone() }, Reason::Error),
        (Completion { finish_reason: FinishReason::ContentFilter, ..said.clone() }, Reason::Filtered),
        (Completion { text: " \u{200b}\n".into(), ..said.clone() }, Reason::Empty),
        (Completion { finish_reason: FinishReason::Length, ..said }, Reason::Truncated),
    ];
    for (completion, expected) in cases {
        let verdict = Gates::default().judge(&prompt, &completion);
        assert_eq!(reason(&verdict), Some(expected));
        let code = serde_json::to_value(&verdict).unwrap()["stopped"]["reason"].clone();
        assert_eq!(code, expected.code());
    }
}

#[test]
fn echoes_are_stopped_unless_they_are_right() {
    let question = "Напиши ще раз це речення: Столиця України — Київ, найбільше місто.";
    assert_eq!(reason(&judge("uk", question, question)), Some(Reason::Echo));
    assert!(judge("uk", "Київ?", "Київ").passed(), "short answers may stand in the question");
    let checked = Prompt { check: Some(Check::OneOf(vec![question.into()])), ..ask("uk", question) };
    assert!(Gates::default().judge(&checked, &say(&checked, question)).passed());
}

#[test]
fn gates_are_switched_off_one_by_one() {
    let gates: Gates =
        serde_json::from_str(r#"{"language": null, "keep_truncated": true, "echo": {"min_chars": 5}}"#).unwrap();
    let prompt = ask("uk", "?");
    let cut = Completion { finish_reason: FinishReason::Length, ..say(&prompt, ENGLISH) };
    let verdict = gates.judge(&prompt, &cut);
    assert!(verdict.passed() && verdict.language == LanguageVerdict::Unchecked);
    assert!(gates.repetition.is_some());
    assert!(serde_json::from_str::<Gates>(r#"{"langauge": null}"#).is_err());
}

#[test]
fn every_verdict_is_counted() {
    let prompt = ask("uk", "?");
    let judged = [UKRAINIAN, "7 березня", ENGLISH, "8 березня"].map(|text| {
        let completion = say(&prompt, text);
        Candidate { verdict: Gates::default().judge(&prompt, &completion), completion, reward: None }
    });
    let of_teacher = &tally(&judged)["a"];
    let counts = ["pass", "undecided", "wrong_lang"].map(|code| of_teacher.count(&language("uk"), code));
    assert_eq!((counts, of_teacher.total()), ([1, 2, 1], 4));
}
