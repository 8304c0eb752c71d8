use std::collections::BTreeMap;

use super::{slot::slots, *};
use crate::check::fold_answer;

fn spec(n_sources: usize) -> PolyglotSpec {
    PolyglotSpec { languages: languages(), tasks: Vec::new(), n_sources, seed: 7 }
}

fn some(tags: &[&str]) -> Vec<Language> {
    tags.iter().map(|tag| Language::parse(tag).unwrap()).collect()
}

fn accepts(prompt: &Prompt, answer: &str) -> bool {
    prompt.check.as_ref().is_some_and(|check| check.accepts(answer))
}

#[test]
fn same_seed_same_prompts_other_seed_others() {
    assert_eq!(generate(&spec(60)), generate(&spec(60)));
    assert_ne!(generate(&spec(60)), generate(&PolyglotSpec { seed: 8, ..spec(60) }));
}

#[test]
fn larger_sets_extend_smaller_ones() {
    let (few, many) = (generate(&spec(33)).unwrap(), generate(&spec(100)).unwrap());
    assert_eq!(few.len(), 33 * languages().len());
    assert_eq!(few[..], many[..few.len()]);
}

#[test]
fn larger_sets_extend_smaller_ones_past_exhausted_tasks() {
    let tasks = [Task::RelativeTime, Task::MonthShift];
    let n_available = match sources(&tasks, 1_000_000, 7) {
        Err(PolyglotError::TooManySources { n_available, n_sources: 1_000_000 }) => n_available,
        other => panic!("{other:?}"),
    };
    let all = sources(&tasks, n_available, 7).unwrap();
    assert_eq!(all[..2500], sources(&tasks, 2500, 7).unwrap());
    assert!(all[3000..].iter().all(|source| source.parameters.task() == Task::MonthShift), "the larger one goes on");
}

#[test]
fn other_languages_and_tasks_change_nothing() {
    let by_id = |prompts: Vec<Prompt>| prompts.into_iter().map(|p| (p.id.clone(), p)).collect::<BTreeMap<_, _>>();
    let all = by_id(generate(&spec(200)).unwrap());
    let tasks = vec![Task::DateShift, Task::DateLong, Task::DateLong];
    let part = generate(&PolyglotSpec { languages: some(&["uk", "ar"]), tasks, ..spec(20) }).unwrap();
    assert_eq!(part.len(), 40);
    for prompt in part {
        assert_eq!(all[&prompt.id], prompt);
    }
}

#[test]
fn no_two_prompts_of_a_language_read_the_same() {
    let mut seen = BTreeMap::new();
    for prompt in generate(&spec(8000)).unwrap() {
        let key = (prompt.language.clone(), fold_answer(prompt.instruction()));
        assert_eq!(seen.insert(key, prompt.id.clone()), None, "{}", prompt.id);
    }
}

#[test]
fn every_phrasing_has_its_slots_and_no_others() {
    for phrases in phrases::ALL {
        let speaker = Speaker::load(phrases).unwrap();
        let cldr = cldr::Cldr::load(phrases.locales[0]).unwrap();
        for source in sources(&[], 5 * Task::ALL.len(), 1).unwrap() {
            let phrasings = phrases.phrasings(source.parameters.task());
            assert!(phrasings[0] != phrasings[1] && phrasings[1] != phrasings[2] && phrasings[0] != phrasings[2]);
            for phrasing in phrasings {
                for (slot, _) in slots(&source.parameters, phrases, &cldr).unwrap() {
                    assert_eq!(phrasing.matches(&format!("{{{slot}}}")).count(), 1, "{}: {phrasing}", phrases.tag);
                }
                let instruction = speaker.ask_as(&source, phrasing).unwrap().instruction;
                assert!(!instruction.contains(['{', '}']), "{}: {instruction}", phrases.tag);
            }
        }
    }
}

#[test]
fn references_pass_their_own_check_and_are_short() {
    for prompt in generate(&spec(2000)).unwrap() {
        let reference = prompt.reference.clone().unwrap();
        assert!(accepts(&prompt, &reference), "{}: {reference}", prompt.id);
        assert!(!accepts(&prompt, &format!("{reference}0")), "{}", prompt.id);
        assert!(reference.chars().count() <= 60, "{}: {reference}", prompt.id);
        assert!(prompt.instruction().chars().count() <= 100, "{}: {}", prompt.id, prompt.instruction());
    }
}

/// Symbols are international: there, many forms are right in many languages.
const SYMBOL_TASKS: [&str; 2] = ["currency-format", "unit-conversion"];

/// Task, language, and another language whose reference is right there as well, though its own reads differently:
/// the French `mai` at the start of a sentence is the German `Mai`, and Japanese goes without spaces too.
const SHARED_FORMS: [(&str, &str, &str); 2] = [("month-shift", "fr", "de"), ("relative-time", "ja", "zh")];

#[test]
fn answers_of_another_language_fail_where_they_differ() {
    let prompts = generate(&spec(2000)).unwrap();
    let mut shared = BTreeSet::new();
    for in_all in prompts.chunks(languages().len()) {
        for (prompt, other) in in_all.iter().flat_map(|prompt| in_all.iter().map(move |other| (prompt, other))) {
            let (own, foreign) = (prompt.reference.as_deref().unwrap(), other.reference.as_deref().unwrap());
            if fold_answer(own) != fold_answer(foreign) && accepts(prompt, foreign) {
                shared.insert((prompt.task.clone().unwrap(), prompt.language.primary(), other.language.primary()));
            }
        }
    }
    shared.retain(|(task, _, _)| !SYMBOL_TASKS.contains(&task.as_str()));
    let expected = SHARED_FORMS.map(|(task, own, other)| (task.to_owned(), own, other));
    assert_eq!(shared.into_iter().collect::<Vec<_>>(), expected);
}
