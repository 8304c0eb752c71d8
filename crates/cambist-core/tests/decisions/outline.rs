//! An outline decides as the matrix that it is of.

use cambist_core::{
    candidate::{Candidate, Matrix, MatrixError, Row},
    completion::Origin,
    gates::Gates,
    labels::{Label, LabelOptions, LabelRule, Labelling, make_labels},
    language::Language,
    outline::{Line, Outline, Places},
    pairs::{Likeness, PairOptions, Pairing, Rule, make_pairs},
    pool::ExpectedCosts,
    reward::Scales,
    router::{All, Fallback, Random, Replayer, Router, replay},
    score::Score,
};
use proptest::prelude::*;

use crate::made::{answer, matrices, prompt};

/// The row without what an outline does not keep.
fn bare(row: &Row) -> Row {
    let mut row = row.clone();
    row.prompt.messages.clear();
    for candidate in &mut row.candidates {
        candidate.completion.text.clear();
        candidate.verdict.stopped.iter_mut().for_each(|stop| stop.detail.clear());
    }
    row
}

proptest! {
    #[test]
    fn rows_come_back_without_their_texts((matrix, _) in matrices()) {
        let outline = Outline::of(&matrix);
        let rows: Vec<Row> = outline.lines().map(|line| line.row()).collect();
        prop_assert_eq!(&rows, &matrix.rows().iter().map(bare).collect::<Vec<_>>());
        // One row in the memory of another, whichever of them is longer.
        for from in outline.lines() {
            for (to, row) in outline.lines().zip(&rows) {
                let mut written = from.row();
                to.write_row(&mut written);
                prop_assert_eq!(&written, row);
            }
        }
        for (line, row) in outline.lines().zip(matrix.rows()) {
            let best = row.candidates.iter().filter_map(Candidate::valid_reward).max_by(f64::total_cmp);
            prop_assert_eq!(line.best_reward(), best);
            prop_assert_eq!(line.range().len(), row.candidates.len());
        }
    }

    #[test]
    fn strategies_decide_and_cost_the_same((matrix, pool) in matrices(), seed in 0..9u64) {
        let outline = Outline::of(&matrix);
        let routers: [Box<dyn Router>; 2] = [Box::new(All), Box::new(Random { seed, fallback: Fallback::None })];
        for router in routers {
            let whole = replay(router.as_ref(), &matrix, &pool).unwrap();
            let mut replayer = Replayer::new(router.as_ref(), &pool);
            for (line, decision) in outline.lines().zip(&whole.decisions) {
                let replayed = replayer.replay(&line.row()).unwrap();
                prop_assert_eq!(&replayer.add(replayed), decision);
            }
            prop_assert_eq!(replayer.cost(), whole.cost);
        }
    }

    #[test]
    fn pairs_are_the_same((matrix, pool) in matrices(), seed in 0..9u64) {
        let outline = Outline::of(&matrix);
        let scales = Scales::of_outline(&outline);
        prop_assert_eq!(&scales, &Scales::fit(&matrix));
        for rule in [Rule::MaxMin, Rule::MaxRandom, Rule::AllOrdered] {
            let options = PairOptions { rule, ..PairOptions::default() };
            let whole = make_pairs(&matrix, &pool, &scales, &options, seed);
            let pairing = Pairing { pool: &pool, scales: &scales, options: &options, seed };
            let mut pairs = Vec::new();
            for (line, row) in outline.lines().zip(matrix.rows()) {
                let floor = whole.floors[line.language()];
                pairs.extend(pairing.pairs(&line.row(), &Likeness::of(row, options.near_duplicate), floor).unwrap_or_default());
            }
            prop_assert_eq!(pairs, whole.pairs);
        }
    }

    #[test]
    fn labels_are_the_same((matrix, pool) in matrices()) {
        let outline = Outline::of(&matrix);
        let scales = Scales::of_outline(&outline);
        for rule in [LabelRule::PromptMean, LabelRule::LanguageShare(0.3)] {
            let options = LabelOptions { rule, dead_zone: 0.1, ..LabelOptions::default() };
            let labelling = Labelling { pool: &pool, scales: &scales, options: &options };
            let likeness: Vec<_> = matrix.rows().iter().map(|row| Likeness::of(row, options.near_duplicate)).collect();
            let of_lines = || outline.lines().zip(&likeness);
            let of_language = |language: &Language| {
                let own = of_lines().filter(|(line, _)| line.language() == language);
                let rewards: Vec<f64> = own.flat_map(|(line, like)| labelling.language_rewards(&line.row(), like)).collect();
                labelling.language_cut(language, &rewards)
            };
            let labels = |(line, like): (Line<'_>, &Vec<Likeness>)| labelling.labels(&line.row(), like, of_language(line.language()));
            let labels: Vec<Vec<Label>> = of_lines().map(labels).collect();
            prop_assert_eq!(labels, make_labels(&matrix, &pool, &scales, &options).labels);
        }
    }

    #[test]
    fn every_prompt_is_found_by_its_id((matrix, _) in matrices()) {
        let outline = Outline::of(&matrix);
        let places = Places::of(&outline).unwrap();
        for (at, row) in matrix.rows().iter().enumerate() {
            prop_assert_eq!(places.place(&row.prompt.id), Some(at));
        }
        prop_assert_eq!(places.place("nobody"), None);
    }
}

#[test]
fn the_first_prompt_whose_id_came_before_is_named() {
    let mut outline = Outline::default();
    for id in ["a", "b", "c", "b", "a", "b"] {
        outline.push(&Row { prompt: prompt(id, "tr"), candidates: Vec::new() });
    }
    assert_eq!(Places::of(&outline).unwrap_err(), MatrixError::DuplicatePrompt { id: "b".into() });
}

#[test]
fn origins_stay_with_their_answers() {
    let prompts = [prompt("p", "tr"), prompt("q", "uk")];
    let origin = Origin { prompt_id: "o".into(), teacher: "a".into(), mt_engine: Some("m".into()), fusion: None };
    let mut translated = answer(&prompts[1], "t", 0, Some(1.0));
    translated.completion.origin = Some(origin.clone());
    let candidates = vec![answer(&prompts[0], "a", 0, None), answer(&prompts[1], "a", 0, None), translated];
    let outline = Outline::of(&Matrix::new(prompts.to_vec(), candidates).unwrap());
    let line = outline.line(1).unwrap();
    assert_eq!((line.origin(0), line.origin(1)), (None, Some(&origin)));
    assert_eq!(line.row().candidates[1].completion.origin, Some(origin.clone()));
    let translations: Vec<_> =
        outline.translations().map(|(teacher, line, origin)| (teacher, line.id(), origin)).collect();
    assert_eq!(translations, [("t", "q", &origin)]);
    assert_eq!(outline.authors().collect::<Vec<_>>(), [("a", None), ("t", Some(&origin))]);
}

#[test]
fn costs_are_measured_by_teacher_and_language() {
    let prompts = [prompt("p", "tr"), prompt("q", "uk"), prompt("r", "uk")];
    let mut candidates: Vec<Candidate> = prompts.iter().map(|prompt| answer(prompt, "a", 0, None)).collect();
    for (candidate, cost_usd) in candidates.iter_mut().zip([1.0, 2.0, 6.0]) {
        candidate.completion.cost_usd = cost_usd;
    }
    let costs = ExpectedCosts::fit(&Outline::of(&Matrix::new(prompts.to_vec(), candidates).unwrap()));
    let teacher = crate::made::teacher("a", cambist_core::teacher::Coverage::All);
    let of = |tag| costs.of(&teacher, &crate::made::language(tag));
    assert_eq!((of("tr"), of("uk"), of("zh")), (1.0, 4.0, 3.0));
}

#[test]
fn a_row_judges_what_belongs_to_it_and_refuses_what_is_there_twice() {
    let asked = prompt("p", "tr");
    let score = |teacher: &str, value| Score {
        prompt_id: "p".into(),
        teacher: teacher.into(),
        sample: 0,
        arbiter: "j".into(),
        value,
        missing: None,
    };
    let answers = |ids: &[&str]| ids.iter().map(|id| answer(&asked, id, 0, None).completion).collect::<Vec<_>>();
    let judged = |ids: &[&str], scores: &[Score]| {
        let scored = scores.iter().map(Into::into).collect();
        Row::judged(asked.clone(), answers(ids), (scored, Vec::new()), &Gates { language: None, ..Gates::default() })
    };
    let row = judged(&["b", "a"], &[score("b", Some(2.0)), score("c", Some(3.0))]).unwrap();
    let rewards: Vec<_> = row.candidates.iter().map(|c| (c.completion.teacher.as_str(), c.reward)).collect();
    assert_eq!(rewards, [("a", None), ("b", Some(2.0))]);
    let twice = judged(&["a"], &[score("a", Some(1.0)), score("a", None)]).unwrap_err();
    assert!(matches!(twice, MatrixError::DuplicateScore { teacher, .. } if teacher == "a"));
    assert!(matches!(judged(&["a", "a"], &[]).unwrap_err(), MatrixError::DuplicateAnswer { .. }));
    let endless = judged(&["a"], &[score("a", Some(f64::INFINITY))]).unwrap_err();
    assert!(matches!(endless, MatrixError::NotFinite { reward, .. } if reward.is_infinite()));
}
