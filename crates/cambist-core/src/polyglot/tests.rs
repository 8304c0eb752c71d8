//! What holds for every task in every language.

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
    for prompt in generate(&spec(4000)).unwrap() {
        let key = (prompt.language.clone(), fold_answer(prompt.instruction()));
        assert_eq!(seen.insert(key, prompt.id.clone()), None, "{}", prompt.id);
    }
}

#[test]
fn names_to_sort_and_summands_are_new_in_any_order() {
    let tasks = [Task::SortNames, Task::Addition];
    let all = sources(&tasks, 20_000, 7).unwrap();
    let mut seen = BTreeSet::new();
    for source in all {
        let key = match source.parameters {
            Parameters::SortNames(mut names) => {
                names.sort();
                format!("{names:?}")
            }
            Parameters::Addition(mut terms) => {
                terms.sort();
                format!("{terms:?}")
            }
            other => panic!("{other:?}"),
        };
        assert!(seen.insert(key.clone()), "{key}");
    }
}

#[test]
fn every_phrasing_has_its_slots_and_no_others() {
    for phrases in phrases::ALL {
        let speaker = Speaker::load(phrases).unwrap();
        let cldr = cldr::Cldr::load(phrases.tag).unwrap();
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
/// the French `mai` at the start of a sentence is the German `Mai`, Chinese and Japanese share characters and go with
/// and without spaces, and Britons write `litre` and `litres`.
const SHARED_FORMS: [(&str, &str, &str); 6] = [
    ("month-shift", "fr", "de"),
    ("relative-time", "ja", "zh"),
    ("relative-time", "zh", "ja"),
    ("unit-name", "en", "fr"),
    ("unit-name", "en", "tr"),
    ("unit-name", "zh", "ja"),
];

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

#[test]
fn instructions_keep_to_their_script() {
    let is_latin = |c: char| c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c);
    let is_cyrillic = |c: char| ('\u{400}'..='\u{4ff}').contains(&c);
    let is_arabic = |c: char| ('\u{620}'..='\u{652}').contains(&c);
    let is_kana = |c: char| ('\u{3041}'..='\u{30ff}').contains(&c);
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    for phrases in phrases::ALL {
        for phrasing in Task::ALL.iter().flat_map(|task| phrases.phrasings(*task)) {
            let outside_slots: String =
                phrasing.split('{').map(|part| part.rsplit('}').next().unwrap_or(part)).collect();
            let fits = |c: char| match phrases.tag {
                "ru" | "uk" => is_cyrillic(c) || c == 'ʼ',
                "ar" => is_arabic(c),
                "ja" => is_kana(c) || is_han(c),
                "zh" => is_han(c),
                _ => is_latin(c),
            };
            let misfit = outside_slots.chars().find(|c| c.is_alphabetic() && !fits(*c));
            assert_eq!(misfit, None, "{}: {phrasing}", phrases.tag);
            assert!(outside_slots.chars().any(fits), "{}: {phrasing}", phrases.tag);
        }
    }
}

#[test]
fn russian_and_ukrainian_are_not_mistaken_for_each_other() {
    for (phrases, foreign) in [(phrases::ALL[6], "іїєґʼ"), (phrases::ALL[8], "ыэъё")] {
        for phrasing in Task::ALL.iter().flat_map(|task| phrases.phrasings(*task)) {
            assert!(!phrasing.contains(|c| foreign.contains(c)), "{}: {phrasing}", phrases.tag);
        }
    }
}

/// Punctuation marks that do not belong: full-width ones where words have spaces, and the other way round.
#[test]
fn instructions_keep_to_their_punctuation() {
    for phrases in phrases::ALL {
        let foreign = match phrases.tag {
            "ar" => "?,;",
            "ja" | "zh" => ":,;",
            _ => "：？，、؟،",
        };
        for phrasing in Task::ALL.iter().flat_map(|task| phrases.phrasings(*task)) {
            assert!(!phrasing.contains(|c| foreign.contains(c)), "{}: {phrasing}", phrases.tag);
        }
    }
}

#[test]
fn wrong_languages_are_refused_with_what_there_is() {
    let message = |tags: &[&str]| generate(&PolyglotSpec { languages: some(tags), ..spec(1) }).unwrap_err().to_string();
    insta::assert_snapshot!(format!("{}\n{}\n{}", message(&[]), message(&["de", "nl"]), message(&["de", "uk", "de"])),);
}

#[test]
fn too_many_sources_are_refused_with_how_many_there_are() {
    let few = PolyglotSpec { tasks: vec![Task::MonthShift], languages: some(&["de"]), ..spec(5000) };
    let message = generate(&few).unwrap_err().to_string();
    assert!(message.starts_with("5000 sources were asked for and these tasks have only 234"), "{message}");
}

#[test]
fn what_natives_write_as_well_is_accepted_and_mistakes_are_not() {
    let first_of_may = Parameters::DateLong(Day { year: 2026, month: 5, day: 1 });
    let friday = Parameters::WeekdayShift(4, Shift { count: 8, period: Period::Day });
    let litre = Parameters::UnitName(Quantity { number: "3".to_owned(), unit: Unit::Liter });
    let kilograms = Parameters::UnitName(Quantity { number: "5".to_owned(), unit: Unit::Kilogram });
    let price = Parameters::CurrencyFormat(Money { number: "1234.50".to_owned(), currency: "USD".to_owned() });
    let codes = Parameters::CountryNames(["DE", "FR", "UA"].map(str::to_owned).to_vec());
    let rows: [(&str, &Parameters, &[&str], &[&str]); 14] = [
        ("en", &first_of_may, &["May 1, 2026", "1 May 2026.", " May 1, 2026\n"], &["may 1, 2026", "May 1 2026"]),
        ("fr", &first_of_may, &["1 mai 2026", "1er mai 2026"], &["1 Mai 2026", "21er mai 2026", "1er mai 2025"]),
        ("es", &first_of_may, &["1 de mayo de 2026", "1.º de mayo del 2026"], &["1 mayo 2026"]),
        ("ru", &first_of_may, &["1 мая 2026 г.", "1 мая 2026", "1 мая 2026 года"], &["1 май 2026 г."]),
        ("uk", &first_of_may, &["1 травня 2026 р.", "1 травня 2026 року"], &["1 травня 2026 г."]),
        ("ar", &first_of_may, &["1 مايو 2026", "١ مايو ٢٠٢٦"], &["١ مايو 2026"]),
        ("uk", &friday, &["пʼятниця", "п'ятниця", "П’ятниця."], &["пятниця", "пятница"]),
        ("de", &friday, &["Freitag", "Freitag."], &["freitag", "Friday"]),
        ("en", &litre, &["3 liters", "3 litres"], &["3 L", "3 liter"]),
        ("zh", &kilograms, &["5千克", "5 公斤"], &["5 kg"]),
        ("ru", &kilograms, &["5 килограмм", "5 килограммов"], &["5 килограмма"]),
        ("de", &price, &["1.234,50 $", "1.234,50 USD"], &["1,234.50 $", "$1.234,50", "1.234,50 €"]),
        ("en", &codes, &["Germany, France, and Ukraine", "Germany, France and Ukraine"], &["Germany France Ukraine"]),
        ("ja", &codes, &["ドイツ、フランス、ウクライナ。"], &["ドイツ, フランス, ウクライナ"]),
    ];
    for (tag, parameters, right, wrong) in rows {
        let phrases = find_phrases(&Language::parse(tag).unwrap()).unwrap();
        let source = Source { id: String::new(), parameters: parameters.clone() };
        let check = Check::OneOf(Speaker::load(phrases).unwrap().ask(&source, 1).unwrap().accepted);
        assert!(right.iter().all(|answer| check.accepts(answer)), "{tag}: {check:?}");
        assert!(!wrong.iter().any(|answer| check.accepts(answer)), "{tag}: {check:?}");
    }
}

/// For a person to read: one prompt of each task in each language.
#[test]
fn one_of_each() {
    let lines = generate(&spec(Task::ALL.len())).unwrap().into_iter().map(|prompt| {
        let task = prompt.task.clone().unwrap_or_default();
        format!("{task} {}: {} => {}", prompt.language, prompt.instruction(), prompt.reference.as_deref().unwrap())
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}
