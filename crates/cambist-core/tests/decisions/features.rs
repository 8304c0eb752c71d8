//! Hashed features: what they are the same for, and against a second program.

use cambist_core::{
    features::{FeatureSource, Hashed, HashedError},
    prompt::{Message, Prompt},
};
use serde::Deserialize;

use crate::made::prompt;

/// Cues are the first features.
const N_CUES: u32 = 18;

fn asked(text: &str) -> Prompt {
    Prompt { messages: vec![Message::user(text)], ..prompt("p", "de") }
}

fn sorted(text: &str) -> Vec<(u32, f32)> {
    let mut all: Vec<_> = Hashed::default().features(&asked(text)).iter().collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

fn of_text(text: &str) -> Vec<(u32, f32)> {
    sorted(text).into_iter().filter(|(index, _)| *index >= N_CUES).collect()
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    features: Vec<(u32, f32)>,
}

#[test]
fn features_are_those_of_a_second_program() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("../golden/features.json")).unwrap();
    assert_eq!(golden.len(), 5);
    for Golden { text, features } in golden {
        let found = of_text(&text);
        assert_eq!(found.len(), features.len(), "{text}");
        for ((index, value), (wanted, golden)) in found.iter().zip(&features) {
            assert!(index == wanted && (value - golden).abs() < 2e-6, "{text}: {index} {value}, {wanted} {golden}");
        }
    }
}

#[test]
fn indices_stand_once_and_the_text_has_length_one() {
    for text in ["Schreibe ein Gedicht über den Herbst.", "東京の天気は？", "احسب ٣ + ٤", "a b a b a b"] {
        let all = sorted(text);
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "{text}");
        assert!(all.iter().all(|(index, _)| (*index as usize) < Hashed::default().width()));
        let length = of_text(text).iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 0.05, "{text}: {length}");
    }
}

#[test]
fn case_and_width_and_spaces_tell_nothing_but_cues() {
    assert_eq!(of_text("Ｈello  WORLD"), of_text("hello world"));
    assert_ne!(of_text("hello world"), of_text("hello word"));
    assert_eq!(of_text("ΣΟΦΟΣ"), of_text("σοφος"));
}

#[test]
fn an_empty_text_has_cues_alone() {
    for text in ["", "\n\n \t"] {
        let all = sorted(text);
        assert!(all.iter().all(|(index, value)| *index < N_CUES && value.is_finite()), "{all:?}");
    }
}

#[test]
fn of_a_long_text_both_ends_are_read() {
    let long = format!("{}{}{}", "anfang ".repeat(200), "mitte ".repeat(20_000), "ende ".repeat(250));
    let vector = Hashed::default().features(&asked(&long));
    assert!(vector.len() < 9_000, "{}", vector.len());
    assert_eq!(of_text(&long.replace("mitte", "drin")), of_text(&long));
    assert_ne!(of_text(&long.replace("ende", "fine")), of_text(&long));
}

#[test]
fn what_was_read_before_shows_in_nothing() {
    let texts = ["ab", "東京の天気は？ 東京の天気は？", "", "x", &"long and longer, ".repeat(90), "ab"];
    for source in [8, 16].map(|bits| Hashed::new(bits).unwrap()) {
        let mut reader = source.reader();
        for text in texts.iter().chain(texts.iter().rev()) {
            assert_eq!(*reader.read(&asked(text)), source.features(&asked(text)), "{text}");
        }
    }
}

#[test]
fn names_lead_back_to_sources() {
    assert_eq!(Hashed::named(&Hashed::default().name()), Some(Hashed::default()));
    assert_eq!((Hashed::named("hashed-v0:16"), Hashed::named("hashed-v1:99")), (None, None));
    assert_eq!(Hashed::new(30), Err(HashedError(30)));
}
