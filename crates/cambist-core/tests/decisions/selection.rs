//! Selection accounts for every prompt.

use cambist_core::{
    candidate::{Matrix, MatrixError},
    completion::Completion,
    gates::Gates,
    router::{All, replay},
    score::Score,
    select::{keep_best, keep_chosen},
};
use proptest::prelude::*;

use crate::made::{answer, language, matrices, prompt};

proptest! {
    #[test]
    fn keeping_the_best_is_what_asking_everyone_chooses((matrix, pool) in matrices()) {
        let chosen = keep_chosen(&replay(&All, &matrix, &pool).unwrap().decisions);
        let best = keep_best(&matrix, &pool);
        prop_assert_eq!(&chosen.kept, &best.kept);
        prop_assert_eq!(best.tally.total(), matrix.rows().len());
        prop_assert_eq!(best.kept.len() + best.left_out.len(), matrix.rows().len());
        let n_kept: usize = best.tally.counts().keys().map(|l| best.tally.count(l, "kept")).sum();
        prop_assert_eq!(n_kept, best.kept.len());
        prop_assert_eq!(best.tally.count(&language("fr"), "kept"), 0);
    }
}

#[test]
fn answers_meet_their_verdicts_and_scores() {
    let prompt = prompt("p", "tr");
    let said = |teacher, text: &str| Completion { text: text.into(), ..answer(&prompt, teacher, 0, None).completion };
    let scored = |teacher: &str, value| {
        let (prompt_id, arbiter) = ("p".into(), "judge".into());
        Score { prompt_id, teacher: teacher.into(), sample: 0, arbiter, value, missing: None }
    };
    let completions = vec![said("c", "üç"), said("b", " "), said("a", "bir")];
    let judged =
        |scores: &[Score]| Matrix::judged(vec![prompt.clone()], completions.clone(), scores, &Gates::default());
    let matrix = judged(&[scored("a", Some(0.5)), scored("b", Some(9.0)), scored("c", None)]).unwrap();
    let valid: Vec<_> =
        matrix.rows()[0].candidates.iter().map(|c| (c.cell().0, c.passed(), c.valid_reward())).collect();
    assert_eq!(valid, [("a", true, Some(0.5)), ("b", false, None), ("c", true, None)]);
    let twice = judged(&[scored("a", None), scored("a", Some(1.0))]);
    assert!(matches!(twice, Err(MatrixError::DuplicateScore { .. })));
    let strange = Matrix::judged(vec![], completions.clone(), &[], &Gates::default());
    assert!(matches!(strange, Err(MatrixError::UnknownPrompt { .. })));
}
