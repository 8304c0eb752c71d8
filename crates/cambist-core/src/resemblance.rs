//! How alike two texts are.

use std::collections::{BTreeSet, HashMap};

/// Returns the share of the characters that need no edit: 1 - Levenshtein distance / length of the longer text.
///
/// Counted over Unicode scalar values; two empty texts are alike (1). Returns none when the similarity is `floor` or
/// less; most such pairs are told apart by their lengths and letter counts, without the quadratic alignment.
pub fn edit_similarity_above(a: &str, b: &str, floor: f64) -> Option<f64> {
    let (len_a, len_b) = (a.chars().count(), b.chars().count());
    let longer = len_a.max(len_b);
    if longer == 0 {
        return (1.0 > floor).then_some(1.0);
    }
    let similarity = |distance: usize| 1.0 - distance as f64 / longer as f64;
    // Any edit changes the length by at most 1 and the letter counts by at most 1 on either side.
    if similarity(len_a.abs_diff(len_b)) <= floor || similarity(letter_distance(a, b)) <= floor {
        return None;
    }
    Some(similarity(strsim::levenshtein(a, b))).filter(|&s| s > floor)
}

/// Returns the larger of the numbers of letters that one text has in excess of the other.
fn letter_distance(a: &str, b: &str) -> usize {
    let mut counts: HashMap<char, i64> = HashMap::new();
    a.chars().for_each(|c| *counts.entry(c).or_default() += 1);
    b.chars().for_each(|c| *counts.entry(c).or_default() -= 1);
    let excess = |sign: i64| counts.values().map(|&n| (sign * n).max(0)).sum::<i64>();
    excess(1).max(excess(-1)).unsigned_abs() as usize
}

/// The set of character 5-grams of a text, white space folded; a shorter text is its own only member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shingles(BTreeSet<[char; 5]>);

impl Shingles {
    /// Returns the 5-grams of `text`.
    pub fn of(text: &str) -> Self {
        let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut letters: Vec<char> = folded.chars().collect();
        if !letters.is_empty() && letters.len() < 5 {
            letters.resize(5, '\0');
        }
        Self(letters.windows(5).filter_map(|window| window.try_into().ok()).collect())
    }

    /// Returns the Jaccard similarity, 0 to 1: shared members over all members. Two empty texts are alike (1).
    pub fn jaccard(&self, other: &Self) -> f64 {
        let n_shared = self.0.intersection(&other.0).count();
        let n_all = self.0.len() + other.0.len() - n_shared;
        if n_all == 0 { 1.0 } else { n_shared as f64 / n_all as f64 }
    }
}

/// Groups texts that are alike: members of a group are joined by a chain of pairs whose Jaccard similarity is above
/// `threshold`. Returns the group of each text, in the order of the input; a group is named by its first member.
pub fn near_duplicates(texts: &[&str], threshold: f64) -> Vec<usize> {
    let shingles: Vec<Shingles> = texts.iter().map(|text| Shingles::of(text)).collect();
    let mut groups: Vec<usize> = (0..texts.len()).collect();
    for later in 0..texts.len() {
        for earlier in 0..later {
            if groups[earlier] != groups[later] && shingles[earlier].jaccard(&shingles[later]) > threshold {
                let (kept, joined) = (groups[earlier].min(groups[later]), groups[earlier].max(groups[later]));
                groups.iter_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn similarity_is_one_minus_the_share_of_edits() {
        let similarity = edit_similarity_above("kitten", "sitting", 0.5);
        assert!((similarity.unwrap() - (1.0 - 3.0 / 7.0)).abs() < 1e-12);
        assert_eq!(edit_similarity_above("kitten", "sitting", 0.6), None);
        assert_eq!(edit_similarity_above("", "", 0.9), Some(1.0));
    }

    #[test]
    fn jaccard_by_hand() {
        // abcde bcdef | bcdef cdefg: one shared of three.
        assert!((Shingles::of("abcdef").jaccard(&Shingles::of("bcdefg")) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Shingles::of("12").jaccard(&Shingles::of("13")), 0.0);
        assert_eq!(Shingles::of("日 本").jaccard(&Shingles::of("日  本\n")), 1.0);
    }

    #[test]
    fn groups_are_chains_named_by_their_first_member() {
        let long =
            "The quick brown fox jumps over the lazy dog while the sun sets behind the old stone bridge, slowly.";
        let (one, two) = (format!("{long}!"), format!("{long}!?"));
        assert_eq!(near_duplicates(&[long, "other", &one, &two], 0.9), [0, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn shortcuts_never_change_the_answer(a in "[abc]{0,12}", b in "[abc]{0,12}", floor in 0.0..0.99f64) {
            let longer = a.len().max(b.len());
            let direct = if longer == 0 { 1.0 } else { 1.0 - strsim::levenshtein(&a, &b) as f64 / longer as f64 };
            prop_assert_eq!(edit_similarity_above(&a, &b, floor), Some(direct).filter(|&s| s > floor));
        }
    }
}
