//! Which answers are fused, in which order they are shown, and which one is kept without asking anybody.

use cambist_core::{
    candidate::{Candidate, Matrix},
    completion::{Completion, Fusion, FusionOutcome, Origin},
    fusion::{FusionRules, Treatment, shuffled},
    pool::{Eligibility, Pool},
    router::{Single, replay},
    select::keep_best,
    teacher::{Coverage, Teacher},
};
use proptest::prelude::*;

use crate::made::{answer, matrices, pool, prompt, stopped, teacher};

const RULES: FusionRules = FusionRules { max_candidates: 7, reads_rewards: true };

fn cells(ranked: &[&Candidate]) -> Vec<(String, u32)> {
    ranked.iter().map(|candidate| (candidate.completion.teacher.clone(), candidate.completion.sample)).collect()
}

proptest! {
    #[test]
    fn the_first_candidate_is_the_winner_of_the_rewards((matrix, pool) in matrices(), most in 2..4usize) {
        let best = keep_best(&matrix, &pool);
        let rules = FusionRules { max_candidates: most, ..RULES };
        for row in matrix.rows() {
            let course = rules.course(row, &pool.query(&row.prompt), Treatment::Fuse);
            let kept = best.kept.iter().find(|kept| kept.prompt_id == row.prompt.id);
            let first = course.ranked.first().map(|first| first.completion.teacher.as_str());
            prop_assert_eq!(first, kept.map(|kept| kept.teacher.as_str()));
            prop_assert!(course.ranked.len() <= most && course.ranked.iter().all(|one| one.valid_reward().is_some()));
            let n_valid = row.candidates.iter().filter(|one| one.valid_reward().is_some()).count();
            let settled = [Some(FusionOutcome::Nothing), Some(FusionOutcome::Only)];
            prop_assert_eq!(course.settled, settled.get(n_valid).copied().flatten());
            let best = rules.course(row, &pool.query(&row.prompt), Treatment::Best);
            prop_assert_eq!(best.ranked, course.ranked.clone());
            let mut shown = cells(&shuffled(&course.ranked, (7, &row.prompt.id)));
            let mut ranked = cells(&course.ranked);
            prop_assert_eq!(&shown, &cells(&shuffled(&course.ranked, (7, &row.prompt.id))));
            shown.sort();
            ranked.sort();
            prop_assert_eq!(shown, ranked);
        }
    }
}

#[test]
fn without_rewards_the_order_is_that_of_every_tie() {
    let prompt = prompt("p", "tr");
    let answers =
        vec![answer(&prompt, "b", 1, None), answer(&prompt, "b", 0, Some(9.0)), answer(&prompt, "a", 0, None)];
    let matrix = Matrix::new(vec![prompt.clone()], answers).unwrap();
    let (pool, row) = (pool(&["a", "b"]), &matrix.rows()[0]);
    let query = pool.query(&row.prompt);
    let unscored = FusionRules { reads_rewards: false, ..RULES };
    let ranked = unscored.course(row, &query, Treatment::Fuse).ranked;
    assert_eq!(cells(&ranked), [("a".into(), 0), ("b".into(), 0), ("b".into(), 1)]);
    let scored = RULES.course(row, &query, Treatment::Fuse);
    assert_eq!((cells(&scored.ranked), scored.settled), (vec![("b".into(), 0)], Some(FusionOutcome::Only)));
}

#[test]
fn equal_texts_are_shown_once_and_what_is_not_eligible_never() {
    let prompt = prompt("p", "tr");
    let said = |teacher: &str, text: &str, reward| {
        let candidate = answer(&prompt, teacher, 0, Some(reward));
        Candidate { completion: Completion { text: text.into(), ..candidate.completion }, ..candidate }
    };
    let answers = vec![
        said("a", "bir", 1.0),
        said("b", " bir\n", 2.0),
        said("c", "iki", 0.5),
        said("closed", "üç", 9.0),
        stopped(said("d", "dört", 8.0)),
    ];
    let matrix = Matrix::new(vec![prompt.clone()], answers).unwrap();
    let mut teachers: Vec<Teacher> = ["a", "b", "c", "d"].map(|id| teacher(id, Coverage::All)).into();
    teachers.push(Teacher { license: "proprietary".into(), ..teacher("closed", Coverage::All) });
    let pool = Pool::new(teachers, Eligibility::default()).unwrap();
    let row = &matrix.rows()[0];
    let course = RULES.course(row, &pool.query(&row.prompt), Treatment::Fuse);
    assert_eq!((cells(&course.ranked), course.settled), (vec![("b".into(), 0), ("c".into(), 0)], None));
    let best = RULES.course(row, &pool.query(&row.prompt), Treatment::Best);
    assert_eq!(best.settled, Some(FusionOutcome::Best));
}

#[test]
fn the_order_shown_is_drawn_for_each_prompt() {
    let prompts: Vec<_> = (0..200).map(|at| prompt(&format!("p{at}"), "tr")).collect();
    let mut first = [0u32; 4];
    for prompt in &prompts {
        let answers: Vec<Candidate> = ["a", "b", "c", "d"].map(|id| answer(prompt, id, 0, Some(1.0))).into();
        let ranked: Vec<&Candidate> = answers.iter().collect();
        let shown = shuffled(&ranked, (1, &prompt.id));
        first[ranked.iter().position(|one| *one == shown[0]).unwrap()] += 1;
    }
    assert!(first.iter().all(|n| (30..72).contains(n)), "each stands first about as often: {first:?}");
}

#[test]
fn a_fused_answer_costs_all_that_was_asked_for() {
    let prompts = [prompt("p", "tr"), prompt("q", "tr")];
    let fused = |at: usize, n_fusions| {
        let mut candidate = answer(&prompts[at], "fusion", 0, None);
        let authors = ["a", "b"].map(str::to_owned).into();
        let fusion = Fusion { kept: FusionOutcome::Fused, fallback: false, authors, n_asked: 3, n_fusions };
        let prompt_id = prompts[at].id.clone();
        let origin = Origin { prompt_id, teacher: "strong".into(), mt_engine: None, fusion: Some(fusion) };
        assert_eq!(origin.authors().collect::<Vec<_>>(), ["strong", "a", "b"]);
        candidate.completion.origin = Some(origin);
        candidate
    };
    let matrix = Matrix::new(prompts.to_vec(), vec![fused(0, 1), fused(1, 2)]).unwrap();
    let run = replay(&Single { teacher: "fusion".into() }, &matrix, &pool(&["fusion"])).unwrap().cost.run;
    assert_eq!(
        (run.generations, run.translations, run.arbiter_scores),
        (9, 0, 0),
        "the sum of n and N, one asked twice"
    );
}
