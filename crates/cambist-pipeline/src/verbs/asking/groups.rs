//! Cells of one prompt that follow each other, together.

use std::iter::Peekable;

use cambist_core::prompt::Prompt;

use super::Cells;
use crate::error::PipelineError;

/// A prompt and which of its answers are asked for.
pub(super) type Group = (Prompt, Vec<u32>);

/// Cells of one prompt that follow each other, together.
pub(super) struct Groups<'c>(Peekable<Cells<'c>>);

impl<'c> Groups<'c> {
    pub(super) fn of(cells: Cells<'c>) -> Self {
        Self(cells.peekable())
    }

    /// The next prompt with as many of its samples as follow each other, `most` at most.
    pub(super) fn next(&mut self, most: usize) -> Option<Result<Group, PipelineError>> {
        let (prompt, first) = match self.0.next()? {
            Ok(cell) => cell,
            Err(error) => return Some(Err(error)),
        };
        let mut samples = vec![first];
        while samples.len() < most
            && let Some(Ok((_, sample))) = self.0.next_if(|next| belongs(next, (&prompt, &samples)))
        {
            samples.push(sample);
        }
        Some(Ok((prompt, samples)))
    }
}

/// Whether a cell can be asked for together with samples of a prompt: it is a later one of the same prompt.
fn belongs(next: &Result<(Prompt, u32), PipelineError>, (prompt, samples): (&Prompt, &[u32])) -> bool {
    next.as_ref().is_ok_and(|(other, sample)| other == prompt && samples.last().is_none_or(|last| last < sample))
}

#[cfg(test)]
mod tests {
    use cambist_core::prompt::Message;

    use super::*;

    fn prompt(id: &str, text: &str) -> Prompt {
        let written = serde_json::json!({
            "id": id, "source_id": id, "language": "de", "messages": [Message::user(text)], "source": "",
        });
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn later_samples_of_one_prompt_go_together() {
        let (a, b, other_a) = (prompt("a", "x"), prompt("b", "x"), prompt("a", "y"));
        let cells = [(&a, 0), (&a, 1), (&a, 1), (&a, 3), (&b, 2), (&b, 5), (&b, 6), (&b, 7), (&other_a, 8), (&a, 9)];
        let grouped = |most: usize| {
            let cells = cells.map(|(prompt, sample)| Ok((prompt.clone(), sample)));
            let mut groups = Groups::of(Box::new(cells.into_iter()));
            let mut found = Vec::new();
            while let Some(group) = groups.next(most) {
                let (prompt, samples) = group.unwrap();
                found.push((prompt.id.clone(), samples));
            }
            found
        };
        let named = |groups: &[(&str, &[u32])]| -> Vec<(String, Vec<u32>)> {
            groups.iter().map(|(id, samples)| ((*id).to_owned(), samples.to_vec())).collect()
        };
        let three = named(&[("a", &[0, 1]), ("a", &[1, 3]), ("b", &[2, 5, 6]), ("b", &[7]), ("a", &[8]), ("a", &[9])]);
        assert_eq!(grouped(3), three);
        assert_eq!(grouped(1).len(), cells.len());
    }

    #[test]
    fn what_cannot_be_read_ends_no_group_in_silence() {
        let a = prompt("a", "x");
        let broken = || Err(PipelineError::Budget);
        let mut groups = Groups::of(Box::new([Ok((a.clone(), 0)), broken(), Ok((a, 1))].into_iter()));
        assert_eq!(groups.next(9).unwrap().unwrap().1, [0]);
        assert!(groups.next(9).unwrap().is_err());
        assert_eq!(groups.next(9).unwrap().unwrap().1, [1]);
        assert!(groups.next(9).is_none());
    }
}
