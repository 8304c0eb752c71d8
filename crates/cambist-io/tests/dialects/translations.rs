//! Translation engines.

use cambist_core::language::Language;
use cambist_io::{
    dialect::translation::{
        TranslationDialect, TranslationRequest, decode_translations, encode_translation, translation_call,
    },
    exchange::{Failure, FailureClass},
};
use serde_json::{Value, json};

use super::{raw, reply, requests::assert_golden};

const DIALECT: TranslationDialect = TranslationDialect::LibreTranslate;

fn asked(texts: &[&str], (from, to): (&str, &str), extra: Option<&Value>) -> Value {
    let (source, target) = (Language::parse(from).unwrap(), Language::parse(to).unwrap());
    encode_translation(DIALECT, &TranslationRequest { texts, source: &source, target: &target }, extra)
}

#[test]
fn requests_are_these_bytes() {
    let one = asked(&["See ⟦0⟧ \"here\".\n"], ("en", "uk"), None);
    assert_golden("libretranslate.one", &translation_call(DIALECT, &one));
    let extra = json!({"alternatives": 2, "format": null});
    let several = asked(&["Один", "Два"], ("uk", "zh-hant"), Some(&extra));
    assert_golden("libretranslate.several", &translation_call(DIALECT, &several));
    assert_eq!(asked(&["x"], ("en", "pt-br"), None)["target"], "pt-BR");
}

fn read(n: usize, status: u16, body: &Value) -> Result<Vec<String>, Failure> {
    decode_translations(DIALECT, n, &reply(status, body))
}

#[test]
fn one_text_comes_as_a_text_and_several_as_a_list() {
    assert_eq!(read(1, 200, &json!({"translatedText": "Eins"})), Ok(vec!["Eins".to_owned()]));
    let both = json!({"translatedText": ["Eins", "Zwei"], "detectedLanguage": [{}, {}]});
    assert_eq!(read(2, 200, &both), Ok(vec!["Eins".to_owned(), "Zwei".to_owned()]));
    assert_eq!(read(1, 200, &json!({"translatedText": ["Eins"]})), Ok(vec!["Eins".to_owned()]));
}

#[test]
fn what_is_no_translation_is_a_failure_of_its_kind() {
    let cases = [
        (2, 200, json!({"translatedText": ["Eins"]}), FailureClass::Shape),
        (1, 200, json!({"translatedText": null}), FailureClass::Shape),
        (1, 200, json!({"error": "out of memory"}), FailureClass::Shape),
        (2, 200, json!({"translatedText": ["Eins", 2]}), FailureClass::Shape),
        (1, 400, json!({"error": "tlh is not supported"}), FailureClass::Request),
        (1, 403, json!({"error": "Please contact the server operator to get an API key"}), FailureClass::Auth),
        (1, 429, json!({"error": "Slowdown: 20 per 1 minute"}), FailureClass::Capacity),
        (1, 500, json!({"error": "Cannot translate text"}), FailureClass::Server),
    ];
    for (n, status, body, class) in cases {
        let failure = read(n, status, &body).unwrap_err();
        assert_eq!(failure.class, class, "{status} {body}");
        if let Some(error) = body["error"].as_str() {
            assert!(failure.reason.contains(error), "{failure}");
        }
    }
    assert_eq!(decode_translations(DIALECT, 1, &raw(200, "<html>")).unwrap_err().class, FailureClass::ContentType);
}
