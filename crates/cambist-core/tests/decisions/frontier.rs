//! The frontier and the advice about a pool on made-up rewards.

use cambist_core::{
    advice::{AdviceOptions, advise},
    candidate::{Candidate, Matrix},
    features::{FeatureSource, Hashed},
    frontier::{
        Budgeted, Everyone, FixedByLanguage, FrontierOptions, Learned, Lot, Oracle, Play, Played, SingleBest,
        Strategist, cross_fit, folds, frontier,
    },
    head::TuneOptions,
    metrics::Bootstrap,
    outline::Outline,
    prompt::{Message, Prompt},
    reward_table::{Opened, RewardTable},
    search::{Correlation, Goal},
};

use crate::made::{answer, pool, prompt, stopped};

/// Prompts in two languages whose sources are shared: `a` is right in Turkish, `b` in Ukrainian, `c` where both fail.
fn rows(n_sources: usize) -> (Vec<Prompt>, Vec<Candidate>) {
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for at in 0..n_sources {
        for tag in ["tr", "uk"] {
            let mut prompt = prompt(&format!("{tag}-{at}"), tag);
            prompt.source_id = format!("s{at}");
            let is_hard = at.is_multiple_of(4);
            let is_right = [tag == "tr" && !is_hard, tag == "uk" && !is_hard, is_hard];
            for (teacher, is_right) in ["a", "b", "c"].iter().zip(is_right) {
                answers.push(answer(&prompt, teacher, 0, Some(f64::from(u8::from(is_right)))));
            }
            prompts.push(prompt);
        }
    }
    (prompts, answers)
}

fn table_of((prompts, answers): (Vec<Prompt>, Vec<Candidate>), teachers: &[&str]) -> RewardTable {
    RewardTable::of(&Outline::of(&Matrix::new(prompts, answers).unwrap()), &pool(teachers))
}

fn played(table: &RewardTable) -> Vec<Played> {
    let strategists: [&dyn Strategist; 5] = [&SingleBest, &FixedByLanguage, &Lot, &Everyone, &Oracle];
    let folds = folds(table, 5, 1);
    strategists.iter().flat_map(|strategist| cross_fit(*strategist, table, &folds)).collect()
}

fn quick() -> FrontierOptions {
    FrontierOptions { bootstrap: Bootstrap { draws: 200, seed: 3 }, ..FrontierOptions::default() }
}

#[test]
fn translations_share_a_fold_and_folds_are_even() {
    let table = table_of(rows(23), &["a", "b", "c"]);
    let folds = folds(&table, 5, 9);
    assert!(folds.chunks(2).all(|pair| pair[0] == pair[1]));
    let sizes: Vec<usize> = (0..5).map(|fold| folds.iter().filter(|f| **f == fold).count()).collect();
    assert!(sizes.iter().all(|n| (8..=10).contains(n)), "{sizes:?}");
}

#[test]
fn the_ends_of_the_frontier() {
    let table = table_of(rows(80), &["a", "b", "c"]);
    let frontier = frontier(&table, &played(&table), &quick());
    let all = frontier.all.unwrap();
    let point = |name: &str| all.points.iter().find(|point| point.strategy == name).unwrap().clone();
    let gain = |name: &str| point(name).gain.unwrap().value;
    assert_eq!((gain("single"), gain("reward"), gain("oracle")), (0.0, 1.0, 1.0));
    assert_eq!((point("reward").calls_share, point("reward").usd_share), (1.0, Some(1.0)));
    assert!((point("oracle").calls_share - 1.0 / 3.0).abs() < 1e-12);
    // Knowing the language is worth half of what a single teacher lacks: everything but the hard quarter.
    assert!(gain("fixed") > 0.5 && gain("fixed") < 1.0, "{}", gain("fixed"));
    assert!(all.area.unwrap() > 0.5 && all.is_gain);
    assert_eq!((all.n, all.n_sources, all.n_teachers), (160, 80, 3.0));
    assert_eq!(frontier.languages.len(), 2);
    assert_eq!(all.needed.last().unwrap().share.map(|s| s > 0.9), Some(true));
}

#[test]
fn without_a_gain_there_are_no_shares_of_it() {
    let (prompts, answers) = rows(40);
    let equal = answers.into_iter().map(|c| Candidate { reward: Some(0.5), ..c }).collect();
    let table = table_of((prompts, equal), &["a", "b", "c"]);
    let all = frontier(&table, &played(&table), &quick()).all.unwrap();
    assert!(!all.is_gain && all.points.iter().all(|point| point.gain.is_none()));
    assert!(all.at_share.is_empty() && all.area.is_none());
    let advice = advise(&table, &AdviceOptions::default());
    assert!(advice.languages.values().all(|own| own.keep == ["a"] && own.certainty.is_none()));
    assert_eq!(advice.drop.len(), 2);
}

#[test]
fn what_cannot_be_opened_is_neither_asked_nor_paid() {
    let (prompts, mut answers) = rows(30);
    answers.retain(|c| !(c.completion.teacher == "c" && c.completion.prompt_id.ends_with('1')));
    let is_stopped = |c: &Candidate| c.completion.teacher == "b" && !c.completion.prompt_id.ends_with('2');
    let answers = answers.into_iter().map(|c| if is_stopped(&c) { stopped(c) } else { c }).collect();
    let table = table_of((prompts, answers), &["a", "b", "c"]);
    let at = table.prompts().iter().position(|prompt| prompt.id == "tr-1").unwrap();
    assert_eq!((table.row(at)[1], table.row(at)[2]), (Opened::Failed, Opened::Closed));
    let played = played(&table);
    let play = |name: &str| played.iter().find(|played| played.name == name).unwrap().plays[at];
    assert_eq!((play("reward").calls, play("reward").usd), (2.0, 1.0));
    let floor = table.floor(at);
    assert_eq!(play("random"), Play { value: (table.best(at) + floor) / 2.0, calls: 1.0, usd: 0.5, rounds: 1.0 });
}

#[test]
fn who_has_no_reward_in_a_language_is_not_compared_there() {
    let (prompts, answers) = rows(30);
    let is_unscored = |c: &Candidate| c.completion.teacher == "b" && c.completion.language.as_str() == "tr";
    let answers = answers.into_iter().map(|c| if is_unscored(&c) { Candidate { reward: None, ..c } } else { c });
    let table = table_of((prompts, answers.collect()), &["a", "b", "c"]);
    let opened = |id: &str| table.row(table.prompts().iter().position(|prompt| prompt.id == id).unwrap())[1];
    assert_eq!(opened("tr-1"), Opened::Closed);
    assert_ne!(opened("uk-1"), Opened::Closed);
}

#[test]
fn a_pool_grows_by_what_each_teacher_adds() {
    let (prompts, mut answers) = rows(120);
    // `d` is as good as `a` and adds nothing; it costs the same, so that the id decides.
    let twins: Vec<Candidate> = answers
        .iter()
        .filter(|c| c.completion.teacher == "a")
        .map(|c| {
            let mut twin = c.clone();
            twin.completion.teacher = "d".into();
            twin
        })
        .collect();
    answers.extend(twins);
    let table = table_of((prompts, answers), &["a", "b", "c", "d"]);
    let advice = advise(&table, &AdviceOptions::default());
    let turkish = advice.languages.iter().find(|(language, _)| language.as_str() == "tr").unwrap().1;
    assert_eq!(turkish.keep, ["a", "c"]);
    assert_eq!(turkish.certainty, Some(1.0));
    assert!((turkish.pools[1].kept.unwrap().value - 1.0).abs() < 1e-12);
    let worth = |name: &str| turkish.teachers.iter().find(|worth| worth.teacher == name).unwrap();
    assert_eq!((worth("a").leave_one_out.value, worth("d").leave_one_out.value), (0.0, 0.0));
    assert_eq!(worth("a").shapley.value, worth("d").shapley.value);
    assert!(worth("c").leave_one_out.value > 0.0 && worth("b").shapley.value == 0.0);
    let ukrainian = advice.languages.iter().find(|(language, _)| language.as_str() == "uk").unwrap().1;
    assert_eq!(ukrainian.keep, ["b", "c"]);
    assert_eq!(advice.drop, ["d".to_owned()].into());
}

#[test]
fn too_few_prompts_make_no_advice() {
    let table = table_of(rows(12), &["a", "b", "c"]);
    let advice = advise(&table, &AdviceOptions::default());
    assert!(advice.languages.is_empty());
    assert_eq!(advice.too_few.values().copied().collect::<Vec<_>>(), [12, 12]);
}

/// Who is right shows in the first word of a prompt, in one language.
fn telling(n: usize) -> (Vec<Prompt>, Vec<Candidate>) {
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for at in 0..n {
        let kind = ((at * 2_654_435_761) >> 7) & 1;
        let text = format!("{} number {at} of the list, please", ["Count", "Translate"][kind]);
        let prompt = Prompt { messages: vec![Message::user(text)], ..prompt(&format!("p{at}"), "tr") };
        for (teacher, right) in [("a", kind == 0), ("b", kind == 1), ("c", false)] {
            answers.push(answer(&prompt, teacher, 0, Some(f64::from(u8::from(right)) + (at % 5) as f64 / 100.0)));
        }
        prompts.push(prompt);
    }
    (prompts, answers)
}

fn learned(prompts: &[Prompt], table: &RewardTable) -> Learned {
    let source = Hashed::default();
    let of_prompt = |id: &str| source.features(prompts.iter().find(|prompt| prompt.id == id).unwrap());
    let features = table.prompts().iter().map(|prompt| of_prompt(&prompt.id)).collect();
    Learned::new(features, source.width(), TuneOptions::default())
}

#[test]
fn a_learned_router_keeps_what_prompts_tell_for_one_call() {
    let (prompts, answers) = telling(150);
    let table = table_of((prompts.clone(), answers), &["a", "b", "c"]);
    let strategist = learned(&prompts, &table);
    let mut played = played(&table);
    played.extend(cross_fit(&strategist, &table, &folds(&table, 5, 1)));
    let all = frontier(&table, &played, &quick()).all.unwrap();
    let point = all.points.iter().find(|point| point.strategy == "learned").unwrap();
    assert!(point.gain.as_ref().unwrap().value > 0.9, "{point:?}");
    assert!((point.calls - 1.0).abs() < 1e-12);
    // Too few prompts to learn from: the strategy is not there, and nothing else is lost.
    let (few, answers) = telling(40);
    let table = table_of((few.clone(), answers), &["a", "b", "c"]);
    assert!(cross_fit(&learned(&few, &table), &table, &folds(&table, 5, 1)).is_empty());
}

#[test]
fn weitzmans_rule_asks_more_where_reward_is_cheap() {
    let table = table_of(rows(120), &["a", "b", "c"]);
    let folds = folds(&table, 5, 1);
    let at = |reward_per_usd: f64| {
        let goal = Goal::RewardPerUsd(reward_per_usd);
        let played = cross_fit(&Budgeted { goal, correlation: Correlation::None }, &table, &folds);
        assert_eq!(played.len(), 1);
        assert_eq!(played[0].name, "weitzman");
        let n = played[0].plays.len() as f64;
        let mean = |of: fn(&Play) -> f64| played[0].plays.iter().map(of).sum::<f64>() / n;
        (mean(|play| play.calls), mean(|play| play.value))
    };
    let (dear, cheap) = (at(1e6), at(0.0));
    assert_eq!(dear.0, 1.0);
    assert!((cheap.0 - 3.0).abs() < 1e-12 && cheap.1 > dear.1, "{dear:?} {cheap:?}");
}

#[test]
fn an_arbiter_that_is_fooled_gains_nothing_by_another() {
    let (prompts, answers) = rows(80);
    // The arbiter that chooses takes `c` for the best throughout; the one that measures does not.
    let fooled = |c: &Candidate| if c.completion.teacher == "c" { Some(9.0) } else { c.reward };
    let fooled = answers.iter().map(|c| Candidate { reward: fooled(c), ..c.clone() }).collect();
    let truth = table_of((prompts.clone(), answers.clone()), &["a", "b", "c"]);
    let own = table_of((prompts.clone(), fooled), &["a", "b", "c"]);
    let table = own.clone().valued_by(&truth);
    assert_eq!(table.prompts(), own.prompts());
    let at = table.prompts().iter().position(|prompt| prompt.id == "tr-1").unwrap();
    assert_eq!(table.chosen(at, 0..3), Some(2));
    assert_eq!(table.worth(at, 2), truth.row(at)[2].reward());
    let everybody = cross_fit(&Everyone, &table, &folds(&table, 5, 1)).remove(0);
    let oracle = cross_fit(&Oracle, &table, &folds(&table, 5, 1)).remove(0);
    let worth = |played: &Played| played.plays.iter().map(|play| play.value).sum::<f64>();
    assert!(worth(&everybody) < worth(&oracle));
    assert_eq!(oracle.plays[at].value, truth.best(at));
    // A prompt that the second arbiter scored in part is left out; one without it throughout changes nothing.
    let is_missing = |c: &Candidate| c.completion.prompt_id == "tr-1" && c.completion.teacher == "b";
    let partly = answers.iter().map(|c| Candidate { reward: c.reward.filter(|_| !is_missing(c)), ..c.clone() });
    let partly = own.clone().valued_by(&table_of((prompts, partly.collect()), &["a", "b", "c"]));
    assert_eq!(partly.prompts().len(), own.prompts().len() - 1);
    assert!(partly.prompts().iter().all(|prompt| prompt.id != "tr-1"));
}
