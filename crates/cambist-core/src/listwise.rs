//! From a judge's picks of the best among all answers to one prompt to a score of each.
//!
//! A judge that sees a list leans towards places in it, so the order is drawn by chance, and drawn from the texts alone:
//! neither who wrote them nor the order in which they came plays a part.

use crate::chance::Chance;

/// Returns the places of the different texts, each by its first, in an order drawn by `chance`; nothing when fewer than
/// two are different, for then there is nothing to pick.
pub fn shuffled(texts: &[&str], mut chance: Chance) -> Vec<usize> {
    let mut places: Vec<usize> = (0..texts.len()).collect();
    // Stable, so that the first of equal texts stands for them.
    places.sort_by_key(|&place| texts[place]);
    places.dedup_by_key(|place| texts[*place]);
    if places.len() < 2 {
        return Vec::new();
    }
    chance.shuffle(&mut places);
    places
}

/// Returns for each text the share of the picks that fell on it, 0 to 1; `picks` are places of texts, and equal texts
/// share what falls on any of them. Without picks every text has 1: nothing is better than an only one.
pub fn pick_shares(texts: &[&str], picks: &[usize]) -> Vec<f64> {
    if picks.is_empty() {
        return vec![1.0; texts.len()];
    }
    let n_picks = |text: &str| picks.iter().filter(|&&pick| texts.get(pick) == Some(&text)).count();
    texts.iter().map(|text| n_picks(text) as f64 / picks.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(texts: &[&str], key: &str) -> Vec<String> {
        shuffled(texts, Chance::new(7, &["checklist", key])).into_iter().map(|place| texts[place].to_owned()).collect()
    }

    #[test]
    fn equal_texts_are_shown_once_and_an_only_one_never() {
        assert_eq!(shown(&["a", "b", "a", "a"], "p").len(), 2);
        assert!(shown(&["a", "a"], "p").is_empty() && shown(&["a"], "p").is_empty() && shown(&[], "p").is_empty());
        assert_eq!(pick_shares(&["a", "b", "a"], &[2]), [1.0, 0.0, 1.0]);
        assert_eq!(pick_shares(&["a", "b", "c"], &[0, 1]), [0.5, 0.5, 0.0]);
        assert_eq!(pick_shares(&["a", "a"], &[]), [1.0, 1.0]);
    }

    #[test]
    fn every_place_is_as_likely_as_any_other() {
        let texts = ["a", "b", "c", "d"];
        let mut counts = [0f64; 4];
        for prompt in 0..4_000 {
            let order = shuffled(&texts, Chance::new(7, &["checklist", &prompt.to_string()]));
            counts[order.iter().position(|&place| place == 2).unwrap()] += 1.0;
        }
        let chi: f64 = counts.iter().map(|n| (n - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi < 16.27, "3 degrees of freedom, p = 0.001: {chi}");
    }

    proptest! {
        #[test]
        fn what_is_shown_depends_on_the_texts_alone(
            (texts, moved) in prop::collection::vec("[ab]{1,2}", 0..7)
                .prop_flat_map(|texts| (Just(texts.clone()), Just(texts).prop_shuffle())),
        ) {
            let of = |texts: &[String]| shown(&texts.iter().map(String::as_str).collect::<Vec<_>>(), "p");
            prop_assert_eq!(of(&texts), of(&moved));
        }

        #[test]
        fn shares_of_different_texts_sum_to_one(picks in prop::collection::vec(0usize..5, 1..3)) {
            let shares = pick_shares(&["a", "b", "c", "d", "e"], &picks);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
