//! Where a prompt stands, by its id.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Outline;
use crate::candidate::MatrixError;

/// The places of the prompts of an outline by their ids, in sixteen bytes for each.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    outline: &'a Outline,
    /// Hashes of the ids with the places behind them, ascending.
    places: Vec<(u64, u32)>,
}

impl<'a> Places<'a> {
    /// Looks through the ids.
    ///
    /// # Errors
    /// [`MatrixError::DuplicatePrompt`] when two prompts have one id.
    pub fn of(outline: &'a Outline) -> Result<Self, MatrixError> {
        let mut places: Vec<(u64, u32)> =
            (0u32..).zip(outline.lines()).map(|(at, line)| (hash(line.id()), at)).collect();
        places.sort_unstable();
        let found = Self { outline, places };
        let twins = found.places.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1);
        // Two ids of one hash may be two ids.
        let again = twins.filter(|at| found.place(found.id(*at)) != Some(*at as usize)).min();
        match again {
            Some(at) => Err(MatrixError::DuplicatePrompt { id: found.id(at).to_owned() }),
            None => Ok(found),
        }
    }

    /// Returns the place of the first prompt of this id; none when there is no such prompt.
    pub fn place(&self, id: &str) -> Option<usize> {
        let wanted = hash(id);
        let from = self.places.partition_point(|(hash, _)| *hash < wanted);
        let same = self.places[from..].iter().take_while(|(hash, _)| *hash == wanted);
        same.map(|(_, at)| *at).find(|at| self.id(*at) == id).map(|at| at as usize)
    }

    fn id(&self, at: u32) -> &'a str {
        self.outline.ids.get(2 * at as usize)
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
